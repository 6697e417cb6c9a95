"""What TCP and WebSocket connections share: flow control, fairness, deadlines and the way to the end.

A connection ends in order: BYE is put, the outbox ends, everything is handed over (`ended`), our side is
shut, the peer's bytes are discarded for a while, then the socket is closed. Closing at once with input
unread would make the kernel reset the connection and the BYE would be lost.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from math import inf

from fastchat.broadcast import Outbox, Wire
from fastchat.errors import Code
from fastchat.hub import Peer
from fastchat.transports.deadlines import NONE
from fastchat.transports.parting import DISCARD_BYTES, shut
from fastchat.transports.wiring import Receiver, Wiring

FRAMES_PER_TURN = 64  # frames of one connection before the others get their turn
BATCH = 16  # frames handed to the session at a time: what waits for the peer is looked at between batches
TURN_BYTES = 64 * 1024  # of one read: libuv would go on, for 8 MB, before the others get their turn
STUCK_BYTES = 64 * 1024  # waiting for a peer that does not read: beyond it we do not read from it either

LOG = logging.getLogger(__name__)


class State(IntEnum):
    """How far a connection is on its way to the end."""

    OPEN = 0
    ENDING = 1  # the last words are put, some may wait for the peer to read
    LINGERING = 2  # all handed over and our side shut; the peer's bytes are discarded
    LOST = 3


class Connection(asyncio.Protocol):
    """A connection of a session; implements `broadcast.Sink` and `hub.Link`."""

    __slots__ = (
        "bucket", "wiring", "transport", "outbox", "session", "address",
        "_state", "_heard", "_discarded", "_held", "_blocked", "_half", "_code", "_early", "_paused",
    )  # fmt: skip

    outbox: Outbox
    session: Receiver

    def __init__(self, wiring: Wiring, transport: asyncio.Transport, address: str) -> None:
        self.bucket = NONE
        self.wiring = wiring
        self.transport = transport
        self.address = address
        self._state = State.OPEN
        self._heard = 0.0  # when bytes last came
        self._discarded = 0
        self._held = False  # its turn is over: nothing is read until the next
        self._blocked = False  # the transport holds bytes
        self._half = False  # the peer shut its side
        self._code = 0  # of the BYE
        self._paused = 0.0  # until when nothing is read, because it sends too much; 0: it does not
        self._early = False  # its time for CONNECT goes on after the first look at it

    def begin(self, opened: float, wire: Wire, peer: Peer, raw: bool) -> None:
        """Take the transport over from the front door; the CONNECT deadline counts from `opened`."""
        wiring = self.wiring
        transport = self.transport
        # pause_writing is to tell exactly when it holds bytes. With TLS it comes at the limit, not above it:
        # 0 would pause with nothing held, and only the next input would end that
        transport.set_write_buffer_limits(high=1 if transport.get_extra_info("ssl_object") else 0)
        transport.set_protocol(self)
        self._heard = now = wiring.time()
        fd = transport.get_extra_info("socket").fileno() if raw else -1
        self.outbox = wiring.broadcaster.outbox(self, wire, fd)
        wiring.connections.add(self)
        wiring.session_begun()
        wiring.deadlines.put(self, opened + self._first_look())
        self.session = wiring.hub.open(self, self.outbox, peer, wiring.clock.ms(now))  # may say BYE

    # input

    def data_received(self, data: bytes) -> None:
        if self._state is not State.OPEN:
            self._discard(len(data))
            return
        self._heard = self.wiring.time()
        self.feed(data)
        if not self._held:
            self._turn(len(data))

    def feed(self, data: bytes) -> None:
        """Put bytes into the framer."""
        raise NotImplementedError

    def serve(self, most: int, now: int) -> bool:
        """Hand about `most` frames to the session; True when more may wait. Raises FrameError."""
        raise NotImplementedError

    def farewell(self, code: int) -> None:
        """Put what follows a BYE on this wire."""

    def _turn(self, came: int = 0) -> None:
        """Serve some frames; read on later when there are more, when much came, or the peer does not read."""
        wiring = self.wiring
        more = self.serve(FRAMES_PER_TURN, wiring.clock.ms(self._heard))
        if self._state is not State.OPEN:
            return
        resting = self._paused > 0.0 and not more
        if not more and not self.clogged and came < TURN_BYTES and not resting:
            return
        self._held = True
        self.transport.pause_reading()
        if not self.clogged and not resting:  # else resume_writing goes on, or the deadline
            wiring.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        if self._state is State.LOST or not self._held:
            return
        self._held = False
        if self._state is State.OPEN:
            self._turn()
        self._read_on()

    @property
    def clogged(self) -> bool:
        """Whether the peer has to read what waits for it before it may ask for more."""
        return self._blocked and self.crammed

    @property
    def crammed(self) -> bool:
        """Whether so much waits for the peer that its turn is over."""
        return self.outbox.pending > STUCK_BYTES

    def _read_on(self) -> None:
        if not self._held and not self._half and not self._paused:
            self.transport.resume_reading()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_BYTES:
            self.abort()

    def eof_received(self) -> bool:
        """The peer sends no more. What waits for it still goes out, then the connection ends."""
        self._half = True
        if self._state is State.LINGERING or self.transport.get_extra_info("ssl_object") is not None:
            return False
        self.gone()
        return True

    # flow control

    def pause_writing(self) -> None:
        self._blocked = True
        self.outbox.pause()

    def resume_writing(self) -> None:
        self._blocked = False
        self.outbox.resume()
        if self._held:
            self._next_turn()

    # broadcast.Sink

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def slow(self) -> None:
        """The outbox is over its limit: the peer does not read."""
        if self._state is not State.OPEN:
            self.abort()
            return
        self.outbox.clear()
        self.session.slow(self.wiring.now())

    def ended(self) -> None:
        """The transport or the kernel has everything that was put before the end."""
        if self._state is not State.ENDING:
            return
        self._state = State.LINGERING
        if self._half:
            self.transport.close()  # nothing unread can come
        elif shut(self.transport):
            self._held = False
            self._read_on()
            self._linger()

    def failed(self, errno: int) -> None:
        """The kernel refused the descriptor."""
        self.abort()

    # hub.Link

    def bye(self, payload: bytes, code: int) -> None:
        """Say BYE and end; what was put before still goes out."""
        if self._state is not State.OPEN:
            return
        self._code = code
        if code == Code.RATE:  # a flood read and discarded would soon end in a reset, and the BYE be lost
            self._paused = inf
            self.transport.pause_reading()
        self.outbox.put(payload)
        self.farewell(code)
        self.end()

    def pause(self, ms: int) -> None:
        """Read nothing more for so long; what has been read is served, and the kernel pushes back."""
        until = self.wiring.time() + ms / 1000
        if not self._paused:
            self.wiring.deadlines.put(self, until)
        self._paused = max(self._paused, until)  # `due` sees that it has become later

    def end(self) -> None:
        """Hand over what waits and close; what comes from now on is discarded."""
        if self._state is not State.OPEN:
            return
        self._state = State.ENDING
        self._linger()
        self.outbox.end()

    def gone(self) -> None:
        """The peer wants no more: it leaves its rooms now, and what waits for it is handed over."""
        self.session.lost(self.wiring.now())
        self.end()

    # the server

    def abort(self) -> None:
        """Close it now, whatever waits; nothing may be sent between this and `connection_lost`."""
        self.outbox.close()
        self.transport.abort()

    def leave(self) -> None:
        """The hub says BYE to sessions; nothing else is needed."""

    def due(self, now: float) -> float:
        """A deadline has passed: CONNECT, silence, or the end of the lingering."""
        if self._state is not State.OPEN:
            self.abort()
            return 0.0
        if self._paused > 0.0:
            if now < self._paused:
                return self._paused
            self._paused = 0.0
            self._heard = now  # the silence was ours
            if self._held and not self.clogged:
                self._next_turn()
            if self._state is not State.OPEN:
                return 0.0
            if self._paused > 0.0:
                return self._paused
        config = self.wiring.config
        ping = config.ping_ms / 1000
        if self._early:
            self._early = False
            if not self.session.connected:
                return now + config.connect_seconds - ping
        ms = self.wiring.clock.ms(now)
        quiet = now - self._heard
        if not self.session.connected or quiet >= 2 * ping:
            self.session.timeout(ms)
            return 0.0 if self._state is not State.OPEN else now + ping
        if quiet < ping:
            return self._heard + ping
        self.session.ping(ms)
        return self._heard + 2 * ping

    def _first_look(self) -> float:
        """Seconds until somebody looks whether CONNECT is done, or whether silence follows it."""
        config = self.wiring.config
        ping = config.ping_ms / 1000
        self._early = ping < config.connect_seconds
        return min(ping, config.connect_seconds)

    def _linger(self) -> None:
        wiring = self.wiring
        wiring.deadlines.put(self, wiring.time() + wiring.config.linger_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave nothing behind; the descriptor is still open here, so the outbox lets go of it in time."""
        wiring = self.wiring
        self._state = State.LOST
        self.outbox.close()
        wiring.deadlines.drop(self)
        wiring.connections.discard(self)
        wiring.session_gone()
        wiring.caps.release(self.address)
        self.session.lost(wiring.now())
        LOG.debug("%s ended, code %d, %s", self.address or "unix", self._code, exc or "closed")
        del self.session, self.outbox, self.transport  # they refer to us: no cycles for the collector
