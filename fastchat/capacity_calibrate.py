"""Find what a message, a send, a frame, a byte and an iteration cost, from intervals of measured work.

The CPU seconds of an interval are a sum of counts times coefficients, so this is a linear regression: never
negative coefficients, and residuals relative to the seconds that are expected, since noise grows with them.

Invariant: a coefficient that the samples cannot tell from the others is either left out, where the model does
without it, or CapacityError says which load to measure besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

from fastchat.capacity_linear import Matrix, Solution, Vector, least_squares, tolerance
from fastchat.capacity_model import Model
from fastchat.capacity_sample import NAMES, Sample, work
from fastchat.capacity_shape import CapacityError

OVERHEAD = 48  # bytes of a frame beside its payload: length, room, offset, time, user (docs/PROTOCOL.md)
HOLD = 0.002  # seconds: flush_budget_ms of a server that nobody has configured
APART = 1e-3  # of a column's square must be its own: less is noise and not a measurement
AGAIN = 12  # fits with the weights that the one before tells
NEAR = 0.1  # an error, as a part of what is expected, up to which it is noise
LEAST = 0.01  # of a sample's CPU seconds: a part that should be smaller than that counts as if it were not
SOCKETS_APART = 2.0  # times as many in one sample as in another, before b may depend on them
LOAD = {
    "a": "a load with another number of members per room: messages that reach few, messages that reach many",
    "b": "a load with few messages an iteration and one with many: sends must not grow in step with the rest",
    "c": "a load with many frames in a send: a higher rate, or a burst",
}  # fmt: skip


class _Part(NamedTuple):
    """A regression by itself: what was measured, and the coefficients that may explain it."""

    target: list[float]
    names: tuple[str, ...]


def calibrate(
    samples: Sequence[Sample], *, coalescing: bool = True, overhead: float = OVERHEAD, hold: float = HOLD
) -> Model:
    """Fit a model to samples by least squares. Raises CapacityError where they do not determine it.

    Without coalescing each delivery is a send of its own, so there is no c and no e. `overhead` is what a
    frame has beside its payload, in bytes; `hold` the server's flush_budget_ms in seconds.
    """
    _check(samples)
    if all(sample.flush is not None for sample in samples) and coalescing:
        flush = [sample.flush or 0.0 for sample in samples]
        rest = [sample.cpu - part for sample, part in zip(samples, flush, strict=True)]
        regressions = [_Part(flush, ("b", "c", "d", "e", "b1")), _Part(rest, ("a", "e", "a1"))]
    else:
        cpu = [sample.cpu for sample in samples]
        regressions = [_Part(cpu, NAMES if coalescing else ("a", "b", "d", "b1"))]
    values = dict.fromkeys(NAMES, 0.0)
    covariance = [[0.0] * len(NAMES) for _ in NAMES]
    freedom = []
    for part in regressions:
        names = _told_apart(samples, part.names)
        solution = _fit(samples, names, part.target)
        freedom.append(solution.freedom)
        for i, name in enumerate(names):
            values[name] += solution.values[i]
            for j, other in enumerate(names):
                covariance[NAMES.index(name)][NAMES.index(other)] += solution.covariance[i][j]
    about = {
        "covariance": covariance,
        "freedom": min(freedom),
        "coalescing": coalescing,
        "overhead": overhead,
        "hold": hold if coalescing else 0.0,
    }
    return Model.from_dict(values | about)


def column(samples: Sequence[Sample], name: str) -> list[float]:
    """Tell how often each sample did what coefficient `name` is the price of."""
    return [dict(zip(NAMES, work(sample), strict=True))[name] for sample in samples]


def _check(samples: Sequence[Sample]) -> None:
    for sample in samples:
        numbers = [value for value in sample if value is not None]
        if not all(isfinite(value) and value >= 0 for value in numbers) or sample.cpu <= 0:
            raise CapacityError(f"{sample}: CPU seconds must be positive, counts not negative; leave it out")
        if sample.flush is not None and sample.flush > sample.cpu:
            raise CapacityError(f"{sample}: the flushes took longer than all; give CPU seconds for both")
        if not sample.messages or not sample.sends or not sample.frames:
            raise CapacityError(f"{sample}: nothing was relayed; measure while messages are delivered")


def _told_apart(samples: Sequence[Sample], names: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what the model can do without and these samples cannot tell from the rest."""
    chosen = [name for name in names if name in LOAD]
    if len(samples) < len(chosen):
        raise CapacityError(
            f"{len(samples)} samples for {len(chosen)} coefficients: measure at least {len(chosen) + 1} loads"
            " that differ in members per room and in messages per iteration"
        )
    for name in chosen:
        if _own(samples, chosen, name) < APART:
            raise CapacityError(f"the samples do not tell {name}: add {LOAD[name]}")
    for name in names:
        if name in chosen or len(samples) < len(chosen) + 2:
            continue
        if name == "b1" and not _sockets_differ(samples):
            continue
        if all(_own(samples, [*chosen, name], each) >= APART for each in (*chosen, name)):
            chosen.append(name)
    return tuple(name for name in names if name in chosen)


def _sockets_differ(samples: Sequence[Sample]) -> bool:
    counts = [sample.sockets for sample in samples]
    return max(counts) >= SOCKETS_APART * min(counts)


def _own(samples: Sequence[Sample], names: Sequence[str], name: str) -> float:
    scaled = [_relative(column(samples, each), samples) for each in names]
    return tolerance(scaled, names.index(name))


def _fit(samples: Sequence[Sample], names: Sequence[str], target: Sequence[float]) -> Solution:
    """Least squares of errors relative to what is expected, over again with the weights that follow.

    Relative to what was measured a sample that came out too small would count most. One that lies far off
    counts by its distance and no longer by its square (Huber, Robust Statistics, 1981, 7.8).
    """
    columns = [column(samples, name) for name in names]
    weights = [1.0 / sample.cpu for sample in samples]
    for _ in range(AGAIN):
        solution = _weighted(columns, target, weights)
        weights = []
        for row, seen, sample in zip(zip(*columns, strict=True), target, samples, strict=True):
            told = sum(v * x for v, x in zip(solution.values, row, strict=True))
            expected = max(told, LEAST * sample.cpu)
            off = abs(seen / expected - 1.0)
            weights.append(sqrt(min(1.0, NEAR / off)) / expected if off else 1.0 / expected)
    return solution


def _weighted(columns: Sequence[Vector], target: Sequence[float], weights: Sequence[float]) -> Solution:
    rows = [[v * w for v, w in zip(values, weights, strict=True)] for values in columns]
    sizes = [max(values) or 1.0 for values in rows]
    scaled: Matrix = [[v / size for v in values] for values, size in zip(rows, sizes, strict=True)]
    solution = least_squares(scaled, [v * w for v, w in zip(target, weights, strict=True)])
    return Solution(
        [value / size for value, size in zip(solution.values, sizes, strict=True)],
        [[x / (p * q) for x, q in zip(row, sizes, strict=True)]
         for row, p in zip(solution.covariance, sizes, strict=True)],
        solution.freedom,
    )  # fmt: skip


def _relative(values: Sequence[float], samples: Sequence[Sample]) -> list[float]:
    return [value / sample.cpu for value, sample in zip(values, samples, strict=True)]
