"""An echo in place of the hub, for the Autobahn suite: below msgpack, whole messages, each kind as it came.

Nothing makes it but `Server(config, echo=True)`; no setting, flag or path leads here.
"""

from __future__ import annotations

from fastchat.broadcast import Outbox
from fastchat.errors import ProtocolError
from fastchat.hub import Link, Peer
from fastchat.protocol.framing import ws_frame
from fastchat.transports.unusual import Kind
from fastchat.transports.websocket import INVALID_DATA, WsConnection

MESSAGE_TOO_BIG = 1009  # close code


class EchoReceiver:
    """Sends payloads back; what a session would refuse ends the connection."""

    __slots__ = ("connected", "closing", "_limit", "_connection")

    def __init__(self, connection: WsConnection, frame_limit: int) -> None:
        self.connected = True  # no CONNECT, so no deadline for it
        self.closing = False
        self._limit = frame_limit
        self._connection = connection

    def frame_limit(self, peeked: bytes, json: bool = False) -> int:
        return self._limit

    def receive(self, payloads: list[bytes], now: int) -> None:
        raise AssertionError("an echo takes messages before they are payloads")

    def count(self, frames: int, size: int, now: int) -> None:
        """The suite may send as fast as it likes."""

    def malformed(self, error: ProtocolError, now: int) -> None:
        raise AssertionError("an echo reads nothing")

    def refuse(self, error: ProtocolError, now: int) -> None:
        self._connection.fail(MESSAGE_TOO_BIG)

    def timeout(self, now: int) -> None:
        self._connection.gone()

    def slow(self, now: int) -> None:
        self._connection.gone()

    def ping(self, now: int) -> None:
        """The suite would take a PING for a message."""

    def lost(self, now: int) -> None:
        self.closing = True


class Echo:
    """Opens echoes; stands where the hub stands."""

    def __init__(self, frame_limit: int) -> None:
        self._frame_limit = frame_limit

    def open(self, link: Link, outbox: Outbox, peer: Peer, now: int) -> EchoReceiver:
        assert isinstance(link, WsConnection), "only /ws echoes"
        return EchoReceiver(link, self._frame_limit)


class EchoConnection(WsConnection):
    """A WebSocket that does not care what is in a message."""

    __slots__ = ()

    def deliver(self, kind: Kind, payloads: list[bytes], now: int) -> None:
        for payload in payloads:
            if kind is Kind.TEXT and not _is_text(payload):
                self.fail(INVALID_DATA)
                return
            self.outbox.put_raw(ws_frame(payload, kind))


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
