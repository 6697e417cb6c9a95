"""What every connection needs of the server, in one place, so that a connection holds one reference to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fastchat.broadcast import Broadcaster, Outbox, Wire
from fastchat.config import Config
from fastchat.errors import ProtocolError
from fastchat.hub import Link, Peer
from fastchat.protocol.codec import Limits
from fastchat.transports.caps import Caps, Networks
from fastchat.transports.clock import Clock
from fastchat.transports.deadlines import Deadlines, Timed

if TYPE_CHECKING:
    from fastchat.transports.connection import Connection


class Receiver(Protocol):
    """What a connection hands its frames to: the hub's session, or the echo that the Autobahn suite talks to.

    Times are server milliseconds. Nothing here raises for what a peer did.
    """

    @property
    def connected(self) -> bool:
        """Whether CONNECT is done; before it a connection has a deadline and one command in flight."""
        ...

    @property
    def closing(self) -> bool:
        """Whether BYE was said: frames that still come are discarded."""
        ...

    def frame_limit(self, peeked: bytes, json: bool = False) -> int:
        """The longest payload in bytes to accept now; `peeked`, its beginning, counts before CONNECT only."""
        ...

    def receive(self, payloads: list[bytes], now: int) -> None: ...

    def count(self, frames: int, size: int, now: int) -> None:
        """Take note of frames that are no message of their own: control frames and fragments."""
        ...

    def malformed(self, error: ProtocolError, now: int) -> None: ...

    def refuse(self, error: ProtocolError, now: int) -> None: ...

    def timeout(self, now: int) -> None: ...

    def slow(self, now: int) -> None: ...

    def ping(self, now: int) -> None: ...

    def lost(self, now: int) -> None: ...


class Opener(Protocol):
    """What makes a receiver for a new connection: the hub."""

    def open(self, link: Link, outbox: Outbox, peer: Peer, now: int) -> Receiver: ...


class Open(Timed, Protocol):
    """A connection as the server sees it."""

    def abort(self) -> None:
        """Close it now, whatever waits."""
        ...

    def leave(self) -> None:
        """The server is going: close it, unless a BYE is doing that already."""
        ...


class WebSocketMaker(Protocol):
    """What makes the connection once a WebSocket is open."""

    def __call__(
        self, wiring: Wiring, transport: asyncio.Transport, address: str, wire: Wire, /
    ) -> Connection: ...


@dataclass(slots=True)
class Wiring:
    """One server's shared parts. `time` is a monotonic clock in seconds."""

    config: Config
    loop: asyncio.AbstractEventLoop
    time: Callable[[], float]
    clock: Clock
    hub: Opener
    broadcaster: Broadcaster
    deadlines: Deadlines
    caps: Caps
    reserved: Networks  # whose connections are never refused for load
    limits: Limits
    http: Callable[[], asyncio.Protocol]  # a request handler for a new HTTP connection
    websocket: WebSocketMaker
    connections: set[Open] = field(default_factory=set)
    draining: bool = False
    sessions: int = 0
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    refusing: int = 0  # connections over the cap that still wait to be told so

    def session_begun(self) -> None:
        self.sessions += 1

    def session_gone(self) -> None:
        self.sessions -= 1
        if not self.sessions:
            self._gone.set()

    async def sessions_gone(self) -> None:
        """Wait until the last connection of a session is lost."""
        while self.sessions:
            self._gone.clear()
            await self._gone.wait()

    def now(self) -> int:
        """Server time, ms."""
        return self.clock.ms(self.time())
