"""Fan-outs of the pure twin: the members of a room, and what gathers for them until the next round.

Invariant: a frame stands once in its batch, whoever gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastchat._broadcast_base import RANGE_SHARE, Wire, checked_place
from fastchat._broadcast_grid import Grid
from fastchat._broadcast_outbox import Outbox, framed
from fastchat._broadcast_queue import Frame
from fastchat.config import Policy

if TYPE_CHECKING:
    from fastchat._broadcast_py import Broadcaster

NO_RADIUS = "this fan-out has no radius"


class Batch:
    """What gathered in a fan-out for one wire, and who does not get all of it."""

    __slots__ = ("frames", "left", "skips", "expiring")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.left: list[tuple[Outbox, int, int]] = []  # members removed meanwhile: from order, to order
        self.skips: dict[Outbox, set[int]] = {}
        self.expiring = False


class Fanout:
    """The members of one room."""

    def __init__(
        self,
        core: Broadcaster,
        policy: Policy,
        gap: Callable[[int, int, str], bytes],
        coalesce: float,
        radius: float,
    ) -> None:
        self.policy = Policy(policy)
        self.gap = gap
        self._core = core
        self._coalesce = coalesce  # seconds of a tick, 0: none
        self._phase = core._clock() if coalesce else 0.0
        self._due = 0.0
        # per wire: member, and the order when it was added
        self._members: tuple[dict[Outbox, int], ...] = ({}, {}, {})
        self._batches: list[Batch | None] = [None, None, None]
        self._bytes = 0  # payload bytes gathered
        self._waiting = False
        self._grid = Grid(radius) if radius else None

    def add(self, outbox: Outbox) -> None:
        """Give the outbox every later put."""
        if outbox._ending or outbox.closed or outbox in self:
            return
        self._members[outbox.wire][outbox] = self._core._order
        outbox._rooms[self] = None

    def remove(self, outbox: Outbox) -> None:
        """Give the outbox no later put; what was put before still comes."""
        if self._grid is not None:
            self._grid.part(outbox)
            self._forget(outbox)
            return
        since = self._forget(outbox)
        batch = self._batches[outbox.wire]
        if since is not None and batch is not None and batch.frames[-1].order > since:
            batch.left.append((outbox, since, self._core._order))

    def _forget(self, outbox: Outbox) -> int | None:
        outbox._rooms.pop(self, None)
        if self._grid is not None:
            self._grid.forget(outbox)
        return self._members[outbox.wire].pop(outbox, None)

    def place(self, outbox: Outbox, x: float, y: float) -> None:
        """Let a member be at this place; raises ValueError for what is none, or where there is no radius."""
        if self._grid is None:
            raise ValueError(NO_RADIUS)
        checked_place(x, y)
        if outbox in self:
            self._grid.place(outbox, x, y)

    def unplace(self, outbox: Outbox) -> None:
        """Let a member be nowhere, as at first."""
        if self._grid is not None:
            self._grid.unplace(outbox)

    def position(self, outbox: Outbox) -> tuple[float, float] | None:
        """Tell where a member is."""
        return None if self._grid is None else self._grid.position(outbox)

    def __len__(self) -> int:
        return sum(map(len, self._members))

    def __contains__(self, outbox: object) -> bool:
        return isinstance(outbox, Outbox) and outbox in self._members[outbox.wire]

    def full(self, size: int) -> bool:
        """Would a payload of `size` bytes be refused?"""
        most = self._core._batch_bytes
        if self._grid is not None and self._grid.ranges > most // RANGE_SHARE:
            return True
        return 0 < self._bytes and self._bytes + size > most

    def put(
        self,
        payload: bytes,
        offset: int = 0,
        *,
        skip: Sequence[Outbox] = (),
        expires: float = 0.0,
        keep: bool = False,
        at: tuple[float, float] | None = None,
    ) -> bool:
        """Queue one payload for every member but `skip`; False: the batch is full and nothing was queued.

        `offset` 0 is for what is not stored, `expires` is on the broadcaster's clock (0: never), `keep`
        frames are never dropped by policy and never refused. `at` a place only those near it get it.
        """
        core = self._core
        if at is not None and self._grid is None:
            raise ValueError(NO_RADIUS)
        if not keep and self.full(len(payload)):
            core._counts["refused"] += 1
            return False
        chosen = None if self._grid is None else self._choose(self._grid, at, skip)
        if chosen is None:
            wires = [wire for wire in Wire if self._members[wire]]
        else:
            wires = sorted({outbox.wire for outbox in chosen})
        encoded = [framed(payload, wire, core._to_json) for wire in wires]  # before anything is queued
        core._counts["messages"] += 1
        if not wires:
            return True
        order = core._next()
        for wire, data in zip(wires, encoded, strict=True):
            batch = self._batches[wire]
            if batch is None:
                batch = self._batches[wire] = Batch()
            batch.frames.append(core._hold(Frame(data, order, self, offset, expires, keep)))
            batch.expiring |= expires > 0.0
        if self._grid is not None:
            self._pick(self._grid, chosen or [])
            skip = ()
        for outbox in skip:
            if outbox in self:
                batch = self._batches[outbox.wire]
                assert batch is not None
                batch.skips.setdefault(outbox, set()).add(order)
        self._bytes += len(payload)
        if not self._waiting:
            self._wait()
        elif not self._coalesce:
            core._arm()
        return True

    def _choose(self, grid: Grid, at: tuple[float, float] | None, skip: Sequence[Outbox]) -> list[Outbox]:
        if at is None:
            return [outbox for members in self._members for outbox in members if outbox not in skip]
        return [outbox for outbox in grid.near(*checked_place(*at)) if outbox not in skip]

    def _pick(self, grid: Grid, chosen: list[Outbox]) -> None:
        for outbox in chosen:
            batch = self._batches[outbox.wire]
            assert batch is not None
            before = batch.frames[-2] if len(batch.frames) > 1 else None
            grid.pick(outbox, batch.frames[-1], before)

    def _wait(self) -> None:
        self._waiting = True
        core = self._core
        if not self._coalesce:
            core._ready[self] = None
            core._arm()
            return
        ticks = (core._clock() - self._phase) // self._coalesce
        self._due = self._phase + (ticks + 1) * self._coalesce
        core._ticking[self] = None
        core._wake()

    def _hurry(self) -> None:
        """Go out with the next flush: a member ends, and its last frame must come last."""
        if self._waiting and self._core._ticking.pop(self, self) is None:
            self._core._ready[self] = None
            self._core._arm()

    def _freeze(self) -> list[tuple[int, Batch]]:
        frozen = [(wire, batch) for wire, batch in enumerate(self._batches) if batch is not None]
        self._batches, self._bytes, self._waiting = [None, None, None], 0, False
        return frozen
