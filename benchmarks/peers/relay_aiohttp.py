"""aiohttp: WebSocketResponse and a loop of `await send_bytes`, on uvloop. Usage: relay_aiohttp.py PORT"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import WSMsgType, web

members: set[web.WebSocketResponse] = set()


async def relay(request: web.Request) -> web.WebSocketResponse:
    member = web.WebSocketResponse(compress=False)
    await member.prepare(request)
    members.add(member)
    try:
        async for message in member:
            # One after the other as in its documentation: a task for each member (gather) costs several times
            # as much. Over a copy, because a member may come or go while one is awaited.
            for other in tuple(members):
                try:
                    if message.type is WSMsgType.BINARY:
                        await other.send_bytes(message.data)
                    elif message.type is WSMsgType.TEXT:
                        await other.send_str(message.data)
                except ConnectionError:
                    members.discard(other)
    finally:
        members.discard(member)
    return member


application = web.Application()
application.router.add_get("/", relay)
loop = uvloop.new_event_loop()
asyncio.set_event_loop(loop)
web.run_app(
    application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, backlog=4096, loop=loop
)
