"""uWebSockets through socketify: its own publish and subscribe. Usage: relay_socketify.py PORT"""

from __future__ import annotations

import sys

from socketify import App, CompressOptions

app = App()
app.ws(
    "/",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 1 << 20,
        # Above this uWebSockets drops what it publishes to that member, and says nothing (64 KiB by default).
        "max_backpressure": 256 << 20,
        "idle_timeout": 0,  # members that only listen stay; others here have no such limit either
        "open": lambda member: member.subscribe("room"),
        "message": lambda member, message, opcode: app.publish("room", message, opcode),
    },
)
app.listen({"port": int(sys.argv[1]), "host": "127.0.0.1"})
# Not app.run(): that asks libuv again and again from a turning asyncio loop, which would show as CPU time of
# uWebSockets. Nothing here is asynchronous Python, so libuv may wait by itself.
app.loop.uv_loop.run()
