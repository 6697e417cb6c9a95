"""How the lengths of rounds are spread: a long one gathers more and is followed by a long one.

Near saturation a round's length is gamma distributed (the diffusion limit of docs/LOAD_MODEL.md, "Latency").
Where few but large rooms make it jump, that is where it starts from, and some rounds in a row give it its
true form.

Invariant: chance comes in as numbers between 0 and 1 ("lots"); the same lots give the same rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, inf, sqrt
from statistics import NormalDist
from typing import NamedTuple

from fastchat.capacity_round import Costs, Flow, alone, length, together, total

NORMAL = NormalDist()
MANY = 9.0  # variance of a number of rooms from which on it is as good as normal
MOST_SLOPE = 0.9999  # of a round's length in that of the one before: nearer to 1 is saturation anyway
TINY = 1e-9  # of the mean's square: such a variance is none
LEAST_SHAPE = 0.5  # of a gamma distribution: below it the formula for its quantiles fails
LEAST_ROOT = 0.05  # the same for low quantiles, which do not matter


class Lengths(NamedTuple):
    """Seconds of rounds: mean and variance, and which part of its excess a round hands on to the next."""

    mean: float
    variance: float
    slope: float = 0.0

    def draw(self, lot: float) -> float:
        """A quantile of the gamma distribution, after Wilson and Hilferty (1931)."""
        if self.variance <= TINY * self.mean * self.mean:
            return self.mean
        shape = max(LEAST_SHAPE, self.mean * self.mean / self.variance)
        root = 1.0 - 1.0 / (9.0 * shape) + NORMAL.inv_cdf(lot) / (3.0 * sqrt(shape))
        return self.mean * max(root, LEAST_ROOT) ** 3


def lengths(costs: Costs, streams: Sequence[Flow]) -> Lengths:
    """Mean and variance in the long run; infinite beyond saturation."""
    mean = length(costs, streams)
    if mean == inf:
        return Lengths(inf, inf, 1.0)
    rate = total(streams)
    once = alone(costs, streams)
    none = exp(-rate * mean)  # of the rounds: one message that found the server idle
    slope = rate * (together(costs, streams) - none * once)
    mean_work = square = 0.0
    for flow in streams:
        k = flow.rate * mean
        empty = exp(-k)
        slope += flow.rooms * flow.rate * flow.members * costs.send * empty
        each = costs.message + flow.members * costs.frame
        call = flow.members * costs.send
        mean_work += flow.rooms * (call * (1.0 - empty) + each * k)
        square += flow.rooms * (
            call * call * empty * (1.0 - empty) + each * each * k + 2.0 * call * each * k * empty
        )
    square += mean_work * mean_work
    square += none * sum(f.rooms * f.rate / rate * single(costs, f) ** 2 for f in streams)
    noise = max(0.0, square - (mean_work + none * once) ** 2)
    slope = min(MOST_SLOPE, max(0.0, slope))
    return Lengths(mean, noise / (1.0 - slope * slope), slope)


def single(costs: Costs, flow: Flow) -> float:
    """Seconds of a message that shares nothing, e not counted."""
    return costs.message + flow.members * (costs.send + costs.frame)


def following(costs: Costs, streams: Sequence[Flow], seconds: float, lots: Sequence[float]) -> float:
    """Seconds of the round that sends what came in `seconds`; one lot for each flow, and one more."""
    whole = least = costs.round
    noise = count = 0.0
    for flow, lot in zip(streams, lots, strict=False):
        k = flow.rate * seconds
        busy = reached(flow.rooms, -expm1(-k), lot)
        count += busy
        each = costs.message + flow.members * costs.frame
        inside, spread = crowded(k)
        whole += busy * (flow.members * costs.send + inside * each)
        least += busy * (flow.members * costs.send + each)  # every room that counts has a message
        noise += busy * spread * each * each
    if count < 0.5:
        return costs.round + single(costs, chosen(streams, lots[-1]))
    return max(least, whole + sqrt(noise) * NORMAL.inv_cdf(lots[-1]))


def chosen(streams: Sequence[Flow], lot: float) -> Flow:
    """The flow that a message belongs to."""
    left = lot * total(streams)
    for flow in streams:
        left -= flow.rooms * flow.rate
        if left <= 0.0:
            return flow
    return streams[-1]


def crowded(k: float) -> tuple[float, float]:
    """Mean and variance of the messages of a room that got any, where `k` are expected."""
    if k < 1e-6:
        return 1.0, 0.0
    any_ = -expm1(-k)
    mean = k / any_
    return mean, max(0.0, (k + k * k) / any_ - mean * mean)


def reached(rooms: float, share: float, lot: float) -> float:
    """Of so many rooms, each with that probability: a quantile of their number (binomial)."""
    if share > 0.5:
        return rooms - reached(rooms, 1.0 - share, 1.0 - lot)
    mean = rooms * share
    variance = mean * (1.0 - share)
    if variance > MANY:
        return min(rooms, max(0.0, mean + sqrt(variance) * NORMAL.inv_cdf(lot)))
    chance = (1.0 - share) ** rooms
    odds = share / (1.0 - share)
    count = 0.0
    while lot > chance and count < rooms:
        lot -= chance
        chance *= odds * (rooms - count) / (count + 1.0)
        count += 1.0
        if chance <= 0.0:
            break
    return min(count, rooms)
