"""A session over TCP or a Unix socket: length-prefixed msgpack (docs/PROTOCOL.md, "Framing")."""

from __future__ import annotations

import asyncio

from fastchat.errors import FrameError
from fastchat.protocol.framing import TcpFramer
from fastchat.transports.connection import BATCH, Connection
from fastchat.transports.wiring import Wiring


class TcpConnection(Connection):
    __slots__ = ("_framer",)

    def __init__(self, wiring: Wiring, transport: asyncio.Transport, address: str) -> None:
        super().__init__(wiring, transport, address)
        self._framer = TcpFramer()

    def feed(self, data: bytes) -> None:
        self._framer.feed(data)

    def serve(self, most: int, now: int) -> bool:
        session = self.session
        try:
            while most > 0 and not session.closing:
                if session.connected:
                    wanted, peeked = min(most, BATCH), b""
                else:  # what CONNECT decides holds for the frame after it, so until then one at a time
                    wanted, peeked = 1, self._framer.peek()
                payloads = self._framer.cut(session.frame_limit(peeked), wanted)
                if not payloads:
                    return False
                session.receive(payloads, now)
                if len(payloads) < wanted and not self._framer.pending:
                    return False  # else what is left may be too long, which the next cut tells
                most -= len(payloads)
                if self.crammed:
                    return True
        except FrameError as error:
            session.refuse(error, now)
        return not session.closing
