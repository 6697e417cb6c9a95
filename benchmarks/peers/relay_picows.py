"""picows: frames straight to its listeners, send in a loop, on uvloop. Usage: relay_picows.py PORT"""

from __future__ import annotations

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

members: set[WSTransport] = set()


class Member(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        members.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        members.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if kind not in (WSMsgType.BINARY, WSMsgType.TEXT):
            return
        # Room for a header in front of the payload: picows writes it there and copies nothing for each send.
        message = bytearray(14) + frame.get_payload_as_memoryview()
        for member in members:
            member.send_reuse_external_bytearray(kind, message, 14)


async def main(port: int) -> None:
    server = await ws_create_server(lambda request: Member(), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


uvloop.run(main(int(sys.argv[1])))
