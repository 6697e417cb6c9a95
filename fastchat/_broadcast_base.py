"""What both twins of the broadcast core share: the wires, what a connection offers, counters, faults.

Invariant: nothing here knows a socket or a clock.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import NamedTuple, Protocol

# bytes handed to the transport at a time: what a transport holds can no longer be dropped by policy, and
# is a copy of its own for each connection
HAND_BYTES = 64 * 1024
CLOCK_SENDS = 64  # sends between two looks at the clock: some 300 microseconds

# of fan-outs with a radius
MAX_COORDINATE = 1e9  # either way: with them a double still tells ten-thousandths of the smallest radius
RADII = (1e-3, 1e9)  # the smallest and the largest
MARGIN = 1 + 1e-9  # of the radius when cells are looked up: what rounding could hide is looked at as well
RANGE_SHARE = 8  # bytes of `batch_bytes` for each range of frames that a member is to get: a range takes 12


def checked_place(x: float, y: float) -> tuple[float, float]:
    """Return coordinates as floats; raises ValueError for what is nowhere."""
    x, y = x + 0.0, y + 0.0
    if not (abs(x) <= MAX_COORDINATE and abs(y) <= MAX_COORDINATE):  # NaN fails every comparison
        raise ValueError(f"coordinates are numbers from -{MAX_COORDINATE:g} to {MAX_COORDINATE:g}")
    return x, y


def checked_radius(radius: float) -> float:
    """Return a radius as a float; raises ValueError for one that no grid can have."""
    if not RADII[0] <= radius <= RADII[1]:
        raise ValueError(f"a radius is from {RADII[0]:g} to {RADII[1]:g}")
    return float(radius)


class Wire(IntEnum):
    """How payloads become frames on an outbox; the same numbers in C."""

    TCP = 0  # 4-byte big-endian length, payload
    WS = 1  # one unmasked binary WebSocket frame (RFC 6455 section 5.2)
    WS_JSON = 2  # one unmasked text frame with the payload as JSON


class Sink(Protocol):
    """What the core needs of a connection; all but `write` are called after the loop over members."""

    def write(self, data: bytes) -> None:
        """Take `data` whole; call `Outbox.pause` before returning if any of it has to wait."""

    def slow(self) -> None:
        """The outbox was over its limit and accepts nothing until `clear`: clear, put BYE, end."""

    def ended(self) -> None:
        """Everything put before `end` is with the kernel or the transport."""

    def failed(self, errno: int) -> None:
        """The descriptor refused: abort. Nothing more is sent on this outbox."""


class Stats(NamedTuple):
    """Counters since the start; never reset."""

    messages: int  # puts on fan-outs
    replies: int  # puts on outboxes
    deliveries: int  # frames of fan-outs taken by kernel or transport, once per member
    rounds: int  # flushes that froze something
    sends: int  # system calls on descriptors
    writes: int  # calls of Sink.write
    bytes: int  # taken by kernel or transport
    partial: int  # sends that took only a part
    again: int  # sends refused with EAGAIN
    failed: int  # connections whose descriptor or transport refused
    slow: int  # connections cut at their own limit
    cut: int  # connections cut because the total was exceeded
    dropped: int  # frames dropped by policy `drop`
    superseded: int  # frames dropped by policy `latest`
    expired: int  # frames dropped because they waited too long
    refused: int  # puts refused because the batch was full


class Faults:
    """Deterministic trouble for `send`: rates per mille, one draw per system call (splitmix64)."""

    __slots__ = ("state", "partial", "again", "interrupt", "broken")

    def __init__(self, seed: int, partial: int, again: int, interrupt: int, broken: int) -> None:
        self.state = seed
        self.partial = partial
        self.again = self.partial + again
        self.interrupt = self.again + interrupt
        self.broken = self.interrupt + broken

    def draw(self, size: int) -> int:
        """How many of `size` bytes the next send may take; raises OSError where it shall fail."""
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        verdict = (z >> 32) % 1000
        if verdict < self.partial:
            return 1 + (z & 0xFFFFFFFF) % size
        if verdict < self.again:
            raise OSError(errno.EAGAIN, "injected")
        if verdict < self.interrupt:
            raise OSError(errno.EINTR, "injected")
        if verdict < self.broken:
            raise OSError(errno.EPIPE, "injected")
        return size
