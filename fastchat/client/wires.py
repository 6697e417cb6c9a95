"""Payloads on a byte stream, without sockets: length prefixes, or WebSocket by the library `websockets`.

Invariant: `cut` gives whole payloads in order and raises ServerFault once nothing further can be trusted.
"""

from __future__ import annotations

from typing import Protocol

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from fastchat.client.failures import ServerFault
from fastchat.errors import FrameError
from fastchat.protocol.codec import PUSH_FRAME
from fastchat.protocol.framing import TcpFramer, tcp_frame

SUBPROTOCOL = Subprotocol("fastchat.v1.msgpack")


class Wire(Protocol):
    """One connection's framing."""

    ready: bool  # payloads may be sent

    def start(self) -> bytes:
        """What is sent first."""

    def feed(self, data: bytes) -> None:
        """Take what was received."""

    def cut(self) -> list[bytes]:
        """Whole payloads, empty when there are none left; raises ServerFault."""

    def replies(self) -> bytes:
        """What the wire itself has to send now."""

    def frame(self, payload: bytes) -> bytes:
        """A payload as it is sent."""

    def goodbye(self) -> bytes:
        """What is sent last."""


class TcpWire:
    """A 4-byte length before every payload (docs/PROTOCOL.md, "Framing")."""

    __slots__ = ("ready", "_framer")

    def __init__(self) -> None:
        self.ready = True
        self._framer = TcpFramer()

    def start(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> None:
        self._framer.feed(data)

    def cut(self) -> list[bytes]:
        try:
            return self._framer.cut(PUSH_FRAME)
        except FrameError as error:
            raise ServerFault(f"this is no fastchat server, or not its TCP protocol: {error.text}") from error

    def replies(self) -> bytes:
        return b""

    def frame(self, payload: bytes) -> bytes:
        return tcp_frame(payload)

    def goodbye(self) -> bytes:
        return b""


class WsWire:
    """One binary message a payload, subprotocol fastchat.v1.msgpack, no compression (RFC 6455)."""

    __slots__ = ("ready", "_protocol", "_payloads", "_parts", "_fault")

    def __init__(self, url: str) -> None:
        self.ready = False
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=PUSH_FRAME)
        self._payloads: list[bytes] = []
        self._parts: list[bytes] = []  # of a fragmented message
        self._fault: str | None = None

    def start(self) -> bytes:
        self._protocol.send_request(self._protocol.connect())
        return self.replies()

    def feed(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        refused = self._protocol.handshake_exc
        broken = self._protocol.parser_exc
        if refused is not None:
            self._fault = f"no WebSocket there: {refused}"
        elif broken is not None:
            self._fault = f"broken WebSocket frames: {broken}"
        else:
            self.ready = True if self._protocol.state.name != "CONNECTING" else False

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self._fault = "text where msgpack was agreed on"
        if frame.opcode not in (Opcode.BINARY, Opcode.CONT):
            return  # the library answers PING and CLOSE
        self._parts.append(bytes(frame.data))
        if frame.fin:
            self._payloads.append(b"".join(self._parts))
            self._parts.clear()

    def cut(self) -> list[bytes]:
        payloads, self._payloads = self._payloads, []
        if not payloads and self._fault is not None:
            raise ServerFault(self._fault)
        return payloads

    def replies(self) -> bytes:
        return b"".join(self._protocol.data_to_send())

    def frame(self, payload: bytes) -> bytes:
        if not self._open():
            return b""
        self._protocol.send_binary(payload)
        return self.replies()

    def goodbye(self) -> bytes:
        if self._open():
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.replies()

    def _open(self) -> bool:
        return self._protocol.state.name == "OPEN"
