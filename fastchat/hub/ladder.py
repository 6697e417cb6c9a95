"""What becomes of somebody who does not heed ERROR 400: refused, slowed, muted, cut off.

Whoever comes back when they were told to never gets past the first rung, however much they have to say. A
strike is a command that came before its time although that time was told.

Invariant: `LADDER` has every rung; a user climbs one rung at a time and falls off it whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

CALM_MS = 5000  # ms without a strike after which all is forgiven, where nothing else is said


class Standing(IntEnum):
    """How a user stands who sends more than a limit allows."""

    OK = 0
    REFUSED = 1  # what is too much gets ERROR 400
    SLOWED = 2  # ... and the connection is not read from until something may pass again
    MUTED = 3  # ... and nothing passes for a while
    CUT = 4  # BYE 400; whoever is back too early finds themselves muted


class Rung(NamedTuple):
    """One rung: what leads on from it, and what it means to stand there."""

    strikes: int  # on this rung, that lead to the next ...
    ms: int  # ... unless they came within less than that
    up: Standing
    silent_ms: int  # how long nothing passes; then all is forgiven


LADDER: Mapping[Standing, Rung] = {
    Standing.OK: Rung(0, 0, Standing.REFUSED, 0),
    Standing.REFUSED: Rung(20, 0, Standing.SLOWED, 0),
    Standing.SLOWED: Rung(100, 10_000, Standing.MUTED, 0),
    Standing.MUTED: Rung(100, 10_000, Standing.CUT, 30_000),
    Standing.CUT: Rung(100, 10_000, Standing.CUT, 60_000),  # to come back at once buys nothing
}


class Conduct:
    """One user's place on the ladder. Times are server ms."""

    __slots__ = ("standing", "silent_until", "climbed", "_strikes", "_told", "_struck")

    def __init__(self, now: int) -> None:
        self.standing = Standing.OK
        self.silent_until = 0
        self._strikes = 0  # on this rung
        self.climbed = now  # to this rung
        self._told = 0  # when something may pass, as far as the user was told
        self._struck = now  # the last strike

    def forgiven(self, now: int) -> bool:
        """Whether the user stands as if nothing had been."""
        if self.silent_until:
            return now >= self.silent_until
        return now - self._struck >= CALM_MS

    def worse(self, other: Conduct | None) -> bool:
        """Whether somebody stands worse by this one than by the other."""
        return other is None or (self.silent_until, self.standing) >= (other.silent_until, other.standing)

    def over(self, wait: int, now: int) -> bool:
        """Take note of a command that has to wait for so many ms; tells whether it led to the next rung."""
        early = now < self._told
        self._told = max(self._told, now + wait)
        if early:
            self._strikes += 1
            self._struck = now
        rung = LADDER[self.standing]
        if self._strikes < rung.strikes or now - self.climbed < rung.ms:
            return False
        self.standing = rung.up
        self._strikes, self.climbed = 0, now
        silent_ms = LADDER[rung.up].silent_ms
        if silent_ms:
            self.silent_until = self._told = now + silent_ms
        return True
