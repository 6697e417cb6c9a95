"""A session over a WebSocket (RFC 6455): complete data frames go the fast way, all else the slow lane.

`Unusual` exists only while it holds something, so an idle connection costs little more than one over TCP.
"""

from __future__ import annotations

import asyncio

from fastchat.broadcast import Wire
from fastchat.errors import Code, FrameError, ProtocolError
from fastchat.protocol.framing import WsCutter, ws_frame
from fastchat.protocol.jsonwire import from_json
from fastchat.protocol.rules import PEEK, too_large
from fastchat.transports.connection import BATCH, Connection
from fastchat.transports.unusual import Kind, Unusual
from fastchat.transports.wiring import Wiring

CLOSE = 0x8  # opcode
PRIVATE_CODES = 4000  # a close code is 4000 + the code of the BYE (docs/PROTOCOL.md)
INVALID_DATA = 1007  # close code: text that is not UTF-8

KINDS = {Wire.WS: Kind.BINARY, Wire.WS_JSON: Kind.TEXT}  # what messages of a subprotocol are


class WsConnection(Connection):
    __slots__ = ("_cutter", "_kind", "_unusual")

    def __init__(self, wiring: Wiring, transport: asyncio.Transport, address: str, wire: Wire) -> None:
        super().__init__(wiring, transport, address)
        self._kind = KINDS[wire]
        self._cutter = WsCutter(self._kind)
        self._unusual: Unusual | None = None

    def feed(self, data: bytes) -> None:
        self._cutter.feed(data)

    def serve(self, most: int, now: int) -> bool:
        session = self.session
        try:
            while most > 0 and not session.closing:
                if self._unusual is None:
                    if session.connected:
                        wanted, peeked = min(most, BATCH), b""
                    else:
                        wanted, peeked = 1, self._cutter.peek()
                    json = self._kind is Kind.TEXT
                    payloads = self._cutter.cut(session.frame_limit(peeked, json), wanted)
                    if payloads:
                        self.deliver(self._kind, payloads, now)
                        most -= len(payloads)
                        if self.crammed:
                            return True
                        if self._cutter.pending:
                            continue  # what is left may be too long, which the next cut tells
                    if not self._cutter.unusual():
                        return False
                    self._unusual = Unusual()
                most -= self._slow_lane(most, now)
                if self.crammed:
                    return True
                if self._unusual is not None and not self._cutter.pending:
                    return False
        except FrameError as error:
            session.refuse(error, now)
        return not session.closing

    def _slow_lane(self, most: int, now: int) -> int:
        """Serve frames that are not for the fast path; return how many."""
        unusual = self._unusual
        assert unusual is not None
        came = self._cutter.take()
        taken = unusual.feed(came, self.session.frame_limit(b""), most)
        self.session.count(taken.frames, len(came) - len(taken.rest), now)
        if unusual.idle:
            self._unusual = None
        if taken.rest:
            self._cutter.feed(taken.rest)
        for kind, data in taken.happenings:
            if self.session.closing:
                break
            if kind is Kind.WRITE:
                self.outbox.put_raw(data)
            elif kind is Kind.CLOSED:
                self.gone()
            else:
                self.deliver(kind, [data], now)
        return taken.frames

    def deliver(self, kind: Kind, payloads: list[bytes], now: int) -> None:
        """Hand whole messages to the session."""
        if kind is not self._kind:
            came, agreed = kind.name.lower(), self._kind.name.lower()
            text = f"a {came} message, but the subprotocol has {agreed} ones"
            self.session.malformed(ProtocolError(Code.MALFORMED, text), now)
        elif kind is Kind.BINARY:
            self.session.receive(payloads, now)
        else:
            self._deliver_json(payloads, now)

    def _deliver_json(self, texts: list[bytes], now: int) -> None:
        session = self.session
        for text in texts:
            if session.closing:
                return
            try:
                text.decode()
                payload = from_json(text, self.wiring.limits)
            except UnicodeDecodeError:
                self.fail(INVALID_DATA)  # RFC 6455, section 8.1
                return
            except ProtocolError as error:
                session.malformed(error, now)
                continue
            limit = session.frame_limit(payload[:PEEK])
            if len(payload) > limit:  # numbers may take more in msgpack than in JSON
                raise too_large(len(payload), limit)
            session.receive([payload], now)

    def farewell(self, code: int) -> None:
        self._close_frame(PRIVATE_CODES + code)

    def fail(self, code: int) -> None:
        """Fail the connection (RFC 6455, section 7.1.7)."""
        self._close_frame(code)
        self.gone()

    def _close_frame(self, code: int) -> None:
        self.outbox.put_raw(ws_frame(code.to_bytes(2), CLOSE))
