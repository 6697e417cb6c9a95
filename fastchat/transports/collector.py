"""When the cyclic garbage collector may look at everything: while little else is to be done.

A full collection walks through all that lives: with 2,000 sessions and their rooms' history it stopped the
server for 60 ms, and it came in the middle of the load, for that is when objects are made. Sessions leave no
cycles behind, so there is no hurry: the collector's young generations work as ever, the oldest waits for a
quiet moment, or for a hundred times as many objects as usual.

Invariant: after `release` the thresholds are as `take` found them, and nothing is frozen.
"""

from __future__ import annotations

import gc

RARELY = 1000  # collections of the middle generation before a full one under load: Python's default is 10
DUE = 10  # ... and in a quiet moment
QUIET = 0.05  # of a core: less than that is a quiet moment


class Collector:
    """The collector of this process, which belongs to one server as long as it runs."""

    def __init__(self) -> None:
        self._found: tuple[int, int, int] | None = None  # thresholds to give back
        self._at = 0.0  # seconds of the clock at the last beat
        self._cpu = 0.0  # CPU seconds of the loop's thread at the last beat

    def take(self) -> None:
        """Let full collections wait, and leave out of them what was there before any session."""
        self._found = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*self._found[:2], RARELY)

    def release(self) -> None:
        """Give the collector back.

        What the program itself had frozen is let go too: Python keeps all that is frozen in one place. Nor
        can `take` see whether there was any: since 3.12 a collection puts immortal objects there.
        """
        if self._found is not None:
            gc.set_threshold(*self._found)
            gc.unfreeze()
            self._found = None

    def beat(self, now: float, cpu: float) -> None:
        """Collect if it is time and the loop used less than QUIET of a core since the last beat.

        `now` in seconds of a monotonic clock, `cpu` in CPU seconds of the loop's thread.
        """
        quiet = cpu - self._cpu < QUIET * (now - self._at)
        self._at, self._cpu = now, cpu
        if self._found is not None and quiet and gc.get_count()[2] >= DUE:
            gc.collect()
