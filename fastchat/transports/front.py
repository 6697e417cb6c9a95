"""The front door: one port, and the first bytes decide who serves a connection.

0x00 is the length of a TCP frame, since frames are shorter than 16 MiB; an upper-case letter begins an HTTP
request, and `GET /ws` a WebSocket. Until it is known a connection costs one small object and a deadline.
"""

from __future__ import annotations

import asyncio
import http
import sys
from enum import IntEnum
from typing import cast

from fastchat.broadcast import Wire
from fastchat.errors import Code
from fastchat.hub import Peer
from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from fastchat.transports.connection import Connection
from fastchat.transports.deadlines import NONE
from fastchat.transports.handshake import HEAD_END, HEAD_LIMIT, refusal, shake
from fastchat.transports.http import HttpConnection
from fastchat.transports.parting import DISCARD_BYTES, shut
from fastchat.transports.tcp import TcpConnection
from fastchat.transports.wiring import Wiring

WEBSOCKET = b"GET /ws"  # followed by a blank or a query
REFUSALS = 32  # connections over the cap that may wait to be told so, each for REFUSAL_SECONDS
REFUSAL_SECONDS = 1.0
RETRY_MS = 5000  # of a BYE 404: connections do not come free at once


class Speech(IntEnum):
    """What a peer seems to speak."""

    UNDECIDED = 0
    TCP = 1
    HTTP = 2
    WEBSOCKET = 3
    FOREIGN = 4


def recognise(head: bytes) -> Speech:
    """Tell from the first bytes who shall serve a connection."""
    if not head:
        return Speech.UNDECIDED
    if head[0] == 0:
        return Speech.TCP
    if not b"A" <= head[:1] <= b"Z":
        return Speech.FOREIGN
    if len(head) <= len(WEBSOCKET):
        return Speech.UNDECIDED if WEBSOCKET.startswith(head) else Speech.HTTP
    return Speech.WEBSOCKET if head.startswith((WEBSOCKET + b" ", WEBSOCKET + b"?")) else Speech.HTTP


class Front(asyncio.Protocol):
    """A connection of which nothing is known yet, or one that is being refused."""

    __slots__ = (
        "bucket", "_wiring", "_transport", "_address", "_opened", "_head", "_admitted", "_parting", "_size",
        "begun",
    )  # fmt: skip

    def __init__(self, wiring: Wiring, admitted: str | None = None, opened: float = 0.0) -> None:
        """Wait for a connection; where TLS comes first, its address is `admitted` already, since `opened`."""
        self.bucket = NONE
        self._wiring = wiring
        self._transport: asyncio.Transport
        self._address = admitted or ""
        self._opened = opened
        self._head = b""
        self._admitted = admitted is not None
        self._parting = False  # the last words are said
        self._size = 0  # bytes discarded since
        self.begun = False  # connection_made came, so connection_lost will

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wiring = self._wiring
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self.begun = True
        wiring.connections.add(self)
        if not self._admitted:
            peername = transport.get_extra_info("peername")
            # one object for all connections of an address; a Unix socket's peer has none
            self._address = sys.intern(peername[0]) if isinstance(peername, tuple) else ""
            self._opened = wiring.time()
            self._admitted = wiring.caps.admit(self._address)
        if self._admitted:
            wiring.deadlines.put(self, self._opened + wiring.config.connect_seconds)
            return
        wiring.refusing += 1
        if wiring.refusing > REFUSALS:
            transport.abort()
            return
        wiring.deadlines.put(self, self._opened + REFUSAL_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self._parting:
            self._size += len(data)
            if self._size > DISCARD_BYTES:
                self._transport.abort()
            return
        self._head += data
        speech = recognise(self._head)
        if speech is Speech.UNDECIDED:
            return
        if not self._admitted:
            self._refuse(speech)
        elif speech is Speech.TCP:
            self._hand_over(TcpConnection(self._wiring, self._transport, self._address), Wire.TCP, self._head)
        elif speech is Speech.WEBSOCKET:
            self._shake()
        elif speech is Speech.HTTP:
            self._leave_to_http()
        else:
            text = "neither a fastchat frame nor HTTP: see docs/PROTOCOL.md"
            self._part(tcp_frame(codec.bye(Code.MALFORMED, text, False)))

    def _shake(self) -> None:
        """Open the WebSocket once the request is complete."""
        end = self._head.find(HEAD_END)
        if end < 0 and len(self._head) <= HEAD_LIMIT:
            return
        if end < 0 or end > HEAD_LIMIT:
            status = http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._part(refusal(status, f"A request may have {HEAD_LIMIT} bytes.\n"))
            return
        end += len(HEAD_END)
        answer = shake(self._head[:end], self._wiring.config.origins)
        if answer.wire is None:
            self._part(answer.response)
            return
        connection = self._wiring.websocket(self._wiring, self._transport, self._address, answer.wire)
        self._hand_over(connection, answer.wire, self._head[end:], answer.response)

    def _hand_over(self, connection: Connection, wire: Wire, rest: bytes, first: bytes = b"") -> None:
        """Give the transport to the connection, with the bytes that have come already."""
        wiring = self._wiring
        transport = self._transport
        wiring.deadlines.drop(self)
        wiring.connections.discard(self)
        secure = transport.get_extra_info("ssl_object") is not None
        kind = "unix" if not self._address else "tcp" if wire is Wire.TCP else "ws"
        reserved = not self._address or self._address in wiring.reserved
        raw = not secure and wiring.config.backend == "raw"
        shared = reserved or wiring.caps.exempt(self._address)
        peer = Peer(self._address, kind, secure, reserved, self._opened, shared)
        connection.begin(self._opened, wire, peer, raw)
        del self._transport
        if first:
            connection.outbox.put_raw(first)
        if rest:
            connection.data_received(rest)

    def _leave_to_http(self) -> None:
        wiring = self._wiring
        wiring.deadlines.drop(self)
        wiring.connections.discard(self)
        connection = HttpConnection(wiring, self._transport, self._address)
        connection.begin(self._head)
        del self._transport

    def _refuse(self, speech: Speech) -> None:
        """Tell a connection over the cap so, in its own words."""
        text = "too many connections"
        if speech is Speech.TCP:
            self._part(tcp_frame(codec.bye(Code.TOO_MANY_CONNECTIONS, text, True, RETRY_MS)))
        elif speech is Speech.FOREIGN:
            self._transport.abort()
        else:
            self._part(refusal(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{text}\n", RETRY_MS // 1000))

    def _part(self, words: bytes) -> None:
        """Say the last words and close once they had time to arrive."""
        self._parting = True
        self._head = b""
        self._transport.write(words)
        if shut(self._transport):
            wiring = self._wiring
            wiring.deadlines.put(self, wiring.time() + wiring.config.linger_seconds)

    def due(self, now: float) -> float:
        """It did not say in time what it is."""
        if self._parting or not self._admitted:
            self._transport.abort()
        elif self._head:  # part of an HTTP request: a first byte of anything else would have decided
            self._part(refusal(http.HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time.\n"))
        else:
            text = "nothing came in time"
            self._part(tcp_frame(codec.bye(Code.TIMEOUT, text, True, RETRY_MS)))
        return 0.0

    def abort(self) -> None:
        self._transport.abort()

    def leave(self) -> None:
        """The server is going, and there is nothing to say to somebody who said nothing."""
        if not self._parting:
            self._transport.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        wiring = self._wiring
        wiring.deadlines.drop(self)
        wiring.connections.discard(self)
        if self._admitted:
            wiring.caps.release(self._address)
        else:
            wiring.refusing -= 1
        del self._transport
