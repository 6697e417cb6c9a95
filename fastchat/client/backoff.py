"""When to try again: full jitter, so that a thousand clients of a restarted server do not come at once.

Never before what the server asked for (`after_ms`, `retry_ms`): the jitter is added to it.
"""

from __future__ import annotations

import random

BASE = 0.5  # seconds: the first attempt comes within this
CAP = 30.0  # seconds: no jitter is longer
STABLE = 10.0  # seconds a connection must have lived for the next loss to count as the first


class Backoff:
    """Count failed attempts and draw the delay of the next."""

    __slots__ = ("_random", "attempts")

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self.attempts = 0

    def lived(self, seconds: float) -> None:
        """Note how long a connection stood: a short one does not reset the count, or BYE would loop."""
        if seconds >= STABLE:
            self.attempts = 0

    def next(self, after_ms: int = 0) -> float:
        """Seconds until the next attempt, at least `after_ms`."""
        ceiling = min(CAP, BASE * 2.0 ** min(self.attempts, 16))
        self.attempts += 1
        return max(0, after_ms) / 1000 + self._random.uniform(0.0, ceiling)
