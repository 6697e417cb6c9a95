"""The deadlines of all connections in one wheel, swept in slices: no timer per connection.

An item stands in at most one bucket and knows which. What a deadline means is the item's business: it is
asked when the time comes, not each time that it hears something, so traffic costs the wheel nothing.
"""

from __future__ import annotations

from typing import Protocol

NONE = 0  # the bucket of what has no deadline


class Timed(Protocol):
    """Something with a deadline."""

    bucket: int  # where it stands in the wheel; only `Deadlines` writes it

    def due(self, now: float) -> float:
        """Act on a deadline that has passed; return the next one, or 0.0 for none."""
        ...


class Deadlines:
    """A wheel of `tick` seconds: a deadline is met at most one tick late, never early.

    Times are seconds of the caller's monotonic clock and must be positive.
    """

    __slots__ = ("_tick", "_buckets", "_swept")

    def __init__(self, now: float, tick: float) -> None:
        self._tick = tick
        self._buckets: dict[int, dict[Timed, None]] = {}
        self._swept = int(now / tick)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def put(self, item: Timed, when: float) -> None:
        """Set the item's deadline, or move it."""
        self.drop(item)
        number = max(int(when / self._tick), self._swept) + 1  # the end of its tick: never early
        self._buckets.setdefault(number, {})[item] = None
        item.bucket = number

    def drop(self, item: Timed) -> None:
        """Forget the item's deadline, if it has one."""
        bucket = self._buckets.get(item.bucket)
        item.bucket = NONE
        if bucket is not None:
            bucket.pop(item, None)

    def sweep(self, now: float, most: int) -> bool:
        """Ask at most `most` items whose time has come; True when more of them wait.

        An item that was dropped by another item's turn is not asked.
        """
        last = int(now / self._tick)
        while self._swept < last:
            bucket = self._buckets.get(self._swept + 1)
            while bucket:
                if most <= 0:
                    return True
                most -= 1
                item = next(iter(bucket))
                self.drop(item)
                following = item.due(now)
                if following > 0.0:
                    self.put(item, max(following, now))  # into a later bucket than this one: no endless turn
            self._buckets.pop(self._swept + 1, None)
            self._swept += 1
        return False
