"""What a message, a send, a frame cost on this machine, learned while it works: a Kalman filter on windows.

A server at steady load tells little: every window has the same mixture, and which of its parts costs what is
open. So the filter starts from what they cost elsewhere. Machines differ mostly by one factor, which a single
window tells; how the parts differ beyond it shows when the load changes. Until then the variance is wide.

Invariant: no cost is ever negative, and no window moves the state further than its own uncertainty allows.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt
from typing import NamedTuple

LONGEST = 10.0  # seconds: an iteration that would last longer never ends
HALVINGS = 40  # of an interval, when a rate or a length is looked for: to a part in a million million
Z95 = 1.96  # standard deviations to either side of 95 in 100

MACHINE = 0.3  # standard deviation of the factor between this machine and that of TYPICAL, once seen
PARTS = 0.4  # of a single cost, besides that factor
NOISE = 0.05  # of the CPU seconds of a window
DISTRUST = 3.0  # times as much where a window took longer than expected: other work only ever adds
FORGET = 0.01  # part of what is known that each window makes doubtful again: a hundred windows count
FAR = 3.0  # standard deviations beyond which a window is not believed
STUBBORN = 4  # windows in a row not believed, after which the world has changed and all is open again
LEAST = 0.02  # of the typical cost: less than nothing nothing costs


class Shape(NamedTuple):
    """What the rooms look like from the flush: copies of a message, members reached, bytes of a frame."""

    fan_out: float
    recipients: float
    size: float


class Costs(NamedTuple):
    """CPU seconds per message in, send, frame, byte of a frame, iteration, refused message."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def message(self, shape: Shape) -> float:
        """CPU seconds that one more message takes in an iteration that reaches everybody anyway."""
        return self.a + shape.fan_out * (self.c + self.d * shape.size)

    def bare(self, shape: Shape) -> float:
        """CPU seconds of an iteration that reaches everybody with next to nothing."""
        return self.e + shape.recipients * self.b

    def work(self, shape: Shape) -> Callable[[float], float]:
        """Tell the CPU seconds of an iteration by the number of messages it sends (docs/LOAD_MODEL.md).

        As a function, for it is asked for one number after another and the rest stays as it is.
        """
        sends, each = shape.recipients * self.b, self.message(shape)
        share = shape.fan_out / shape.recipients  # of the members that one message reaches
        return lambda k: self.e + sends * (1.0 - exp(-k * share)) + k * each

    def rate(self, seconds: float, shape: Shape, refused: float = 0.0) -> float:
        """Messages/s at which an iteration lasts so long; 0 where none is that short.

        Besides them so many a second are refused, which takes its time as well.
        """
        left = seconds * (1.0 - refused * self.f)
        work = self.work(shape)
        low, high = 0.0, max(0.0, left - self.e) / self.message(shape)
        for _ in range(HALVINGS):
            k = (low + high) / 2
            if work(k) < left:
                low = k
            else:
                high = k
        return low / seconds

    def iteration(self, rate: float, shape: Shape) -> float:
        """Seconds an iteration lasts at so many messages/s; LONGEST where that never ends."""
        low, high = 0.0, LONGEST
        for _ in range(HALVINGS):
            middle = sqrt(low * high) if low else high / 1000
            if self.rate(middle, shape) < rate:
                low = middle
            else:
                high = middle
        return high


# Of this very server on a virtual machine of 2026 (bench_results/): the ratios count, not the values.
TYPICAL = Costs(a=8e-6, b=4e-6, c=30e-9, d=0.1e-9, e=30e-6, f=4e-6)


class Filter:
    """The state: a factor on each typical cost, and what is not known about them."""

    __slots__ = ("windows", "_factors", "_doubt", "_open", "_strange")

    def __init__(self) -> None:
        self.windows = 0  # that were believed since the last start
        self._factors = [1.0] * len(TYPICAL)
        self._doubt = _doubt(1.0)  # covariance of the factors
        self._open = self._doubt  # the same where nothing is known but the machine's factor
        self._strange = 0  # windows in a row that were not believed

    @property
    def costs(self) -> Costs:
        """What everything costs, as far as is known."""
        return Costs(*(f * t for f, t in zip(self._factors, TYPICAL, strict=True)))

    def learn(self, cpu: float, work: tuple[float, float, float, float, float, float]) -> bool:
        """Take a window: its CPU seconds and what was done in it, in the order of `Costs`.

        Tells whether it was believed.
        """
        row = [count * cost / cpu for count, cost in zip(work, TYPICAL, strict=True)]
        if not self.windows:
            self._begin(1.0 / sum(row))
        doubt = self._doubt
        spread = [sum(p * x for p, x in zip(line, row, strict=True)) for line in doubt]
        missed = 1.0 - sum(x * f for x, f in zip(row, self._factors, strict=True))
        doubted = sum(x * s for x, s in zip(row, spread, strict=True))
        noise = NOISE * DISTRUST if missed > 0.0 else NOISE
        variance = doubted + noise * noise
        if missed * missed > FAR * FAR * variance:
            self._strange += 1
            if self._strange == STUBBORN:
                self.windows = 0
            return False
        self._strange = 0
        self.windows += 1
        for i, s in enumerate(spread):
            gain = s / variance
            self._factors[i] = max(LEAST, self._factors[i] + gain * missed)
            for j, t in enumerate(spread):
                doubt[i][j] += FORGET * self._open[i][j] - (FORGET * doubt[i][j] + gain * t)
        return True

    def _begin(self, factor: float) -> None:
        """The first window tells how fast the machine is."""
        self._factors = [factor] * len(TYPICAL)
        self._doubt, self._open = _doubt(factor), _doubt(factor)
        self._strange = 0

    def deviation(self, seconds: float, shape: Shape) -> float:
        """Standard deviation of `costs.rate(seconds, shape)`."""
        costs = self.costs
        base = costs.rate(seconds, shape)
        slopes = []
        for i, cost in enumerate(costs):
            step = 0.01 * cost
            moved = Costs(*(c + step if i == j else c for j, c in enumerate(costs)))
            slopes.append((moved.rate(seconds, shape) - base) / step * TYPICAL[i])
        total = sum(x * y * self._doubt[i][j] for i, x in enumerate(slopes) for j, y in enumerate(slopes))
        return sqrt(max(0.0, total))


def _doubt(factor: float) -> list[list[float]]:
    """Covariance of costs of which only a common factor is known."""
    each, common = (factor * PARTS) ** 2, (factor * MACHINE) ** 2
    size = range(len(TYPICAL))
    return [[common + (each if i == j else 0.0) for j in size] for i in size]
