"""Search the knee: the largest number of clients that a server still serves within the limits.

The search knows no server. It is given `attempt`, which tries a number of clients and returns a verdict, and
it expects hiccups: a virtual machine that stands still for 20 ms must not end it. So a number of clients is
only given up when two of three trials fail, and an end of the bracket that everything else ran up against
has to show itself once more.

Invariant: `low` has passed and `high` has not, whenever they are set, and low < high.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import ceil, log, sqrt

VOTES = 3  # trials that decide about a number of clients whose first trial failed
SUSPICIOUS = 2  # bisections that all went one way: the other end may be a hiccup's
WIDE = 0.25  # resolution of a bracket that still counts when the trials are used up
COARSE = 0.1  # resolution where it is the generator's limit that is narrowed down
CONFIRMATIONS = 2  # times an end of the bracket is tried again in one search


class Verdict(Enum):
    """What became of a trial."""

    PASSED = "passed"
    FAILED = "failed"
    SATURATED = "saturated"  # it did not pass, but the generator was at its limit: says nothing of the server


class End(Enum):
    """Why a search ended, in words."""

    BRACKETED = "bracketed"
    LIMITED = "limited by connections"  # all that one process may open passed
    SATURATED = "generator saturated"
    UNREACHED = "fails with the fewest clients"
    CUT = "cut short"  # the trials allowed were used up, or something went wrong


class Cut(Exception):
    """The trials allowed are used up."""


@dataclass(frozen=True, slots=True)
class Course:
    """How to search: where to begin, how far to go, how finely, and with how many trials at most."""

    start: int  # clients
    least: int = 2
    most: int = 19_000
    factor: float = 1.5  # from one number of clients to the next, until one fails
    resolution: float = 0.03  # of the bracket: high / low - 1
    trials: int = 30

    @property
    def bisections(self) -> int:
        """Bisections from a factor's bracket down to the resolution."""
        return max(0, ceil(log(log(self.factor) / log(1 + self.resolution), 2)))

    def typical(self, away: float = 2.0) -> float:
        """Trials of a search whose knee lies `away` times the start: a failure costs two."""
        steps = ceil(log(max(away, 1 / away), self.factor))
        return 1 + (steps - 1) + 2 + 1.5 * self.bisections + 0.5


@dataclass(frozen=True, slots=True)
class Knee:
    """What a search found."""

    low: int  # the largest number of clients that passed; 0: none did
    high: int | None  # the smallest above it that did not; None: none was found
    end: End

    @property
    def clients(self) -> float | None:
        """The knee's place, in the middle of its bracket; None where there is no bracket."""
        if self.end is not End.BRACKETED or self.high is None:
            return None
        return sqrt(self.low * self.high)


class Search:
    """One search. `attempt(clients)` may raise: `knee()` still tells how far it had come."""

    def __init__(self, attempt: Callable[[int], Verdict], course: Course) -> None:
        self._attempt = attempt
        self._course = course
        self._trials = 0
        self._doubtful: set[int] = set()  # numbers of clients where the generator was what failed
        self.low = 0
        self.high: int | None = None

    def run(self) -> Knee:
        """Find the knee."""
        try:
            return self.knee(self._search())
        except Cut:
            return self.knee(End.BRACKETED if self._narrow_enough() else End.CUT)

    def knee(self, end: End = End.CUT) -> Knee:
        """What is known now."""
        return Knee(self.low, self.high, end)

    def _narrow_enough(self) -> bool:
        if not self.low or self.high is None or self.high in self._doubtful:
            return False
        return self.high <= self.low * (1 + WIDE)

    def _search(self) -> End:
        for _ in range(1 + CONFIRMATIONS):
            if end := self._bracket():
                return end
            untouched = self._bisect()
            if untouched is None or self._confirmed(untouched):
                break
        return End.SATURATED if self.high in self._doubtful else End.BRACKETED

    def _bracket(self) -> End | None:
        """Go up by factors until a number fails, or down until one passes."""
        course = self._course
        while not self.low or self.high is None:
            clients = self._next()
            if self._passes(clients):
                self.low = clients
                if clients >= course.most and self.high is None:
                    return End.LIMITED
            else:
                self.high = clients
                if clients <= course.least:
                    return End.SATURATED if clients in self._doubtful else End.UNREACHED
        return None

    def _next(self) -> int:
        course = self._course
        if self.high is not None:
            clients = min(self.high - 1, round(self.high / course.factor))
        elif self.low:
            clients = max(self.low + 1, round(self.low * course.factor))
        else:
            clients = course.start
        return max(course.least, min(course.most, clients))

    def _bisect(self) -> int | None:
        """Narrow the bracket; return the end that never moved where that is suspicious."""
        assert self.high is not None
        begin, end, halvings = self.low, self.high, 0
        while self.high - self.low > max(1, self.low * self._resolution()):
            middle = min(self.high - 1, max(self.low + 1, round(sqrt(self.low * self.high))))
            if self._passes(middle):
                self.low = middle
            else:
                self.high = middle
            halvings += 1
        if halvings < SUSPICIOUS:
            return None
        if self.high == end:
            return end
        return begin if self.low == begin else None

    def _resolution(self) -> float:
        return max(self._course.resolution, COARSE if self.high in self._doubtful else 0.0)

    def _confirmed(self, clients: int) -> bool:
        """Try an end of the bracket again; where it was wrong, open the bracket on that side."""
        stands = self.low == clients
        if self._passes(clients, first_decides=False) == stands:
            return True
        if stands:
            self.low, self.high = 0, clients
        else:
            self.low, self.high = clients, None
        return False

    def _passes(self, clients: int, first_decides: bool = True) -> bool:
        """Try up to three times; where the first decides, a pass needs no second opinion."""
        needed = VOTES // 2 + 1
        passed = failed = saturated = 0
        while True:
            verdict = self._try(clients)
            passed += verdict is Verdict.PASSED
            failed += verdict is Verdict.FAILED
            saturated += verdict is Verdict.SATURATED
            if passed >= needed or (passed and first_decides and not failed + saturated):
                self._doubtful.discard(clients)
                return True
            if failed + saturated >= needed:
                if saturated >= failed:
                    self._doubtful.add(clients)
                else:
                    self._doubtful.discard(clients)
                return False

    def _try(self, clients: int) -> Verdict:
        if self._trials >= self._course.trials:
            raise Cut
        self._trials += 1
        return self._attempt(clients)
