"""python-socketio: AsyncServer as ASGI application under uvicorn, on uvloop. Usage: relay_socketio.py PORT"""

from __future__ import annotations

import sys

import socketio
import uvicorn

# One handler after the other: as tasks of their own, the default, messages of one client overtake each other.
# It may be busy for long, and the default heartbeat (25 s, and 20 s to answer) would then cut its client off.
server = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], async_handlers=False, ping_interval=300, ping_timeout=300
)


@server.on("m")
async def relay(sid: str, text: str) -> None:
    await server.emit("m", text)


uvicorn.run(
    socketio.ASGIApp(server),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    loop="uvloop",
    ws="websockets-sansio",  # the faster of uvicorn's two
    ws_per_message_deflate=False,
    ws_ping_interval=None,  # Engine.IO has a heartbeat of its own
    lifespan="off",
    log_level="error",
    backlog=4096,
)
