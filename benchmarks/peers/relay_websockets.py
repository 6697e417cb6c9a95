"""`websockets`: its asyncio server with `broadcast()`, on uvloop. Usage: relay_websockets.py PORT"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

members: set[ServerConnection] = set()


async def relay(member: ServerConnection) -> None:
    members.add(member)
    try:
        async for message in member:
            broadcast(members, message)  # "the most efficient way": writes to all without awaiting any
    except ConnectionClosedError:
        pass  # a reset: without this, a traceback in the log for each
    finally:
        members.discard(member)


async def main(port: int) -> None:
    # No compression and no keep-alive pings: nobody else here has them. The backlog takes thousands at once.
    async with serve(relay, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        await asyncio.Future()


uvloop.run(main(int(sys.argv[1])))
