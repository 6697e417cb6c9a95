"""Read the sparse histograms of samples: `[[lowest nanoseconds, count], ...]`, ascending.

The swarm has 128 buckets to each power of two, values below 256 have their own: a percentile found here is
at most 0.8 % too high, like those in the samples themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Sparse: TypeAlias = Sequence[Sequence[int]]  # [lowest nanoseconds of the bucket, count]

EXACT = 256  # nanoseconds below which every value has its own bucket
BITS = 8  # highest bits of a value that tell its bucket


def highest(lowest: int) -> int:
    """The largest value of the bucket that begins with `lowest`, in nanoseconds."""
    shift = max(0, lowest.bit_length() - BITS) if lowest >= EXACT else 0
    return lowest + (1 << shift) - 1


def count(histogram: Sparse) -> int:
    """Values in all."""
    return sum(many for _, many in histogram)


def percentile(histogram: Sparse, share: float) -> float:
    """Nanoseconds that the share of all values does not exceed; 0 for no values."""
    wanted, so_far = int(share * count(histogram)), 0
    for lowest, many in histogram:
        so_far += many
        if so_far > wanted:
            return float(highest(lowest))
    return float(highest(histogram[-1][0])) if histogram else 0.0


def mean(histogram: Sparse) -> float:
    """Nanoseconds, from the middles of the buckets."""
    total = sum((lowest + highest(lowest)) / 2 * many for lowest, many in histogram)
    return total / max(1, count(histogram))


def merged(histograms: Iterable[Sparse]) -> list[list[int]]:
    """One histogram of the values of all."""
    counts: Counter[int] = Counter()
    for histogram in histograms:
        for lowest, many in histogram:
            counts[lowest] += many
    return [[lowest, counts[lowest]] for lowest in sorted(counts)]


def cumulative(histogram: Sparse) -> Iterator[tuple[float, float]]:
    """Points of the distribution for a plot: nanoseconds, and the share of values that are not above."""
    every, so_far = count(histogram), 0
    for lowest, many in histogram:
        so_far += many
        yield float(highest(lowest)), so_far / every
