"""What waits for one paused connection in the pure twin, and how frames leave it before their turn.

Invariant: of a room's stored frames none leaves a queue without a `Gap` of that room where it stood; gaps of
one room with nothing of that room and no private frame between them are one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from typing import Protocol, TypeAlias

from fastchat.config import Policy


class Room(Protocol):
    """What a queue needs of a fan-out."""

    policy: Policy
    gap: Callable[[int, int, str], bytes]  # from, to, why: the GAP payload


class Frame:
    """One encoded frame, shared by all who wait for it; `holders` counts them."""

    __slots__ = ("data", "order", "room", "offset", "expires", "keep", "holders")

    def __init__(
        self,
        data: bytes,
        order: int,
        room: Room | None = None,
        offset: int = 0,
        expires: float = 0.0,
        keep: bool = True,
    ) -> None:
        self.data = data
        self.order = order
        self.room = room  # None: private
        self.offset = offset
        self.expires = expires
        self.keep = keep
        self.holders = 0


class Gap:
    """Offsets of a room that this connection does not get."""

    __slots__ = ("room", "start", "end", "why")

    def __init__(self, room: Room, start: int, end: int, why: str) -> None:
        self.room = room
        self.start = start
        self.end = end
        self.why = why


class Run:
    """Frames in order, joined at most once for all who get them whole."""

    __slots__ = ("frames", "stale", "_joined", "_deliveries")

    def __init__(self, frames: list[Frame], stale: bool = False) -> None:
        self.frames = frames
        self.stale = stale  # it is of a batch of which something had waited too long when it was frozen
        self._joined: bytes | None = None
        self._deliveries = -1

    @property
    def joined(self) -> bytes:
        if self._joined is None:
            self._joined = b"".join([frame.data for frame in self.frames])
        return self._joined

    @property
    def deliveries(self) -> int:
        """How many of the frames are a room's."""
        if self._deliveries < 0:
            self._deliveries = sum(frame.room is not None for frame in self.frames)
        return self._deliveries


def merged(runs: list[Run]) -> Run:
    """One run of all their frames, in the global order."""
    frames = sorted(chain(*(run.frames for run in runs)), key=attrgetter("order"))
    return Run(frames, any(run.stale for run in runs))


Queue: TypeAlias = deque[Frame | Gap]


def sieve(queue: Queue, why: str, drop: Callable[[Frame], bool | None]) -> list[Frame]:
    """Take out and return the frames for which `drop` is true; None from it means: no more after this one."""
    passed: list[Frame | Gap] = []
    gone: list[Frame] = []
    # what stands last of each room, behind the last private frame: a gap or (None) a frame
    last: dict[Room, Gap | None] = {}
    while queue:
        item = queue.popleft()
        if isinstance(item, Gap):
            _widen(passed, last, item)
            continue
        verdict = drop(item) if item.room is not None else False
        if item.room is None or not verdict:
            passed.append(item)
            if item.room is not None:
                last[item.room] = None
            else:  # it may be the reply to LEAVE or JOIN: a gap on one side is none on the other
                last.clear()
            if verdict is None:
                break
            continue
        gone.append(item)
        if item.offset:
            _widen(passed, last, Gap(item.room, item.offset, item.offset, why))
    queue.extendleft(reversed(passed))
    return gone


def _widen(passed: list[Frame | Gap], last: dict[Room, Gap | None], gap: Gap) -> None:
    before = last.get(gap.room)
    if before is not None and before.why == gap.why:
        before.end = gap.end
        return
    last[gap.room] = gap
    passed.append(gap)


def stale(now: float) -> Callable[[Frame], bool | None]:
    """Drop what has waited past its time."""
    return lambda frame: 0.0 < frame.expires <= now


def oldest(excess: int) -> Callable[[Frame], bool | None]:
    """Drop the oldest that may go, until `excess` bytes are gone."""

    def drop(frame: Frame) -> bool | None:
        nonlocal excess
        if excess <= 0:
            return None
        if frame.keep or frame.room is None or frame.room.policy is Policy.DISCONNECT:
            return False
        excess -= len(frame.data)
        return True

    return drop


def superseded(queue: Queue) -> Callable[[Frame], bool | None]:
    """Drop what is not the newest of a room with policy `latest`."""
    newest: dict[Room, Frame] = {}
    for item in reversed(queue):
        if isinstance(item, Frame) and item.room is not None and not item.keep:
            newest.setdefault(item.room, item)

    def drop(frame: Frame) -> bool | None:
        if frame.keep or frame.room is None or frame.room.policy is not Policy.LATEST:
            return False
        return newest[frame.room] is not frame

    return drop
