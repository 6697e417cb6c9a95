"""How late deliveries are: percentiles for a relay that gathers, and for one that serves one by one.

The distribution has no closed form: a round's length varies, the place of a delivery in its round depends on
when the room's first message came, and a long round lets reading in between. So it is summed up over points
spread evenly over all that varies (a quasi-random sequence, the same for every call), and the percentile is
read off. docs/LOAD_MODEL.md derives it, "Latency".

Invariant: the same numbers give the same answer; nothing here is drawn by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

from fastchat.capacity_round import Costs, Flow, alone, length, sends, together, total

POINTS = 1024  # summed over: a p99 rests on ten of them, and is within 1 %
VARIED = 5  # round, room's first message, arrival, member, noise
NORMAL = NormalDist()
MOST_SLOPE = 0.9999  # of the length of a round in that of the one before: nearer to 1 is saturation anyway


class Flusher(NamedTuple):
    """After how much a flush lets reading go on, and how long it may be held back."""

    sends: int
    seconds: float
    hold: float = 0.0


class Round(NamedTuple):
    """The lengths of rounds: mean and variance in seconds, and which part of the messages find none."""

    mean: float
    variance: float
    idle: float


def percentile_coalescing(
    costs: Costs, streams: Sequence[Flow], flusher: Flusher, share: float
) -> float:
    """Seconds within which a `share` of all deliveries are sent; infinite beyond saturation."""
    found = rounds(costs, streams)
    if found.mean == inf:
        return inf
    deliveries = [flow.rooms * flow.rate * flow.members for flow in streams]
    late: list[tuple[float, float]] = []
    for own, weight in zip(streams, deliveries, strict=True):
        count = max(64, round(POINTS * weight / sum(deliveries)))
        values = _delays(costs, streams, own, flusher, found, count)
        late += [(value, weight / count) for value in values]
    return _percentile(late, share)


def rounds(costs: Costs, streams: Sequence[Flow]) -> Round:
    """How the lengths of rounds are spread: a long one gathers more and is followed by a long one."""
    mean = length(costs, streams)
    if mean == inf:
        return Round(inf, inf, 0.0)
    rate = total(streams)
    once, again = alone(costs, streams), together(costs, streams)
    started = exp(-rate * mean)  # of the rounds: one message that found the server idle
    slope = rate * (again - started * once)
    noise = started * sum(
        flow.rooms * flow.rate / rate * (_single(costs, flow) - once) ** 2 for flow in streams
    )
    for flow in streams:
        each = costs.message + flow.members * costs.frame
        call = flow.members * costs.send
        k = flow.rate * mean
        none = exp(-k)
        noise += flow.rooms * (call * call * none * (1 - none) + each * each * k + 2 * call * each * k * none)
        slope += flow.rooms * flow.rate * call * none
    slope = min(MOST_SLOPE, max(0.0, slope))
    variance = noise / (1.0 - slope * slope)
    started = (1.0 + rate * variance / mean) ** (-mean * mean / variance) if variance > 0 else started
    return Round(mean, variance, started / (rate * mean + started))


def _single(costs: Costs, flow: Flow) -> float:
    return costs.message + flow.members * (costs.send + costs.frame)


def _delays(
    costs: Costs, streams: Sequence[Flow], own: Flow, flusher: Flusher, found: Round, count: int
) -> list[float]:
    """Delays of `count` deliveries in rooms of the flow `own`, spread evenly over what varies."""
    rate = total(streams)
    idle = round(found.idle * count)
    quick = costs.round + costs.message
    single = own.members * (costs.send + costs.frame)
    delays = [quick + (i + 0.5) / idle * single for i in range(idle)]
    # a message is more likely to come in a long round: the gamma distribution weighted by its value
    shape = found.mean**2 / found.variance + 1.0 if found.variance > 0 else inf
    scale = found.variance / found.mean
    for first, arrival, member, lot, noise in _points(count - idle):
        seconds = _gamma(shape, scale, lot) if shape < inf else found.mean
        k = own.rate * seconds
        opened = min(arrival, -log(1.0 - first) / k)
        before, call = _flushed(costs, streams, own, seconds, opened)
        whole, _ = _flushed(costs, streams, own, seconds, 1.0)
        mine = call + (1.0 + k) * own.members * costs.frame
        whole += mine
        gathered = costs.message * (1.0 + rate * seconds)
        pieces = max(1.0, whole / flusher.seconds, (whole and sends(streams, seconds)) / flusher.sends)
        place = (before + member * mine) / whole if whole > 0 else 0.0
        spread = _spread(costs, streams, seconds) * NORMAL.inv_cdf(noise)
        read = gathered / pieces + place * gathered * (1.0 - 1.0 / pieces)
        delays.append(
            (1.0 - arrival) * seconds + costs.round + read + max(0.0, place * (whole + spread))
        )
    return delays


def _flushed(
    costs: Costs, streams: Sequence[Flow], own: Flow, seconds: float, opened: float
) -> tuple[float, float]:
    """Seconds of sending to other rooms that began before `opened`, a part of the round; and own sends."""
    before = 0.0
    for flow in streams:
        k = flow.rate * seconds
        others = flow.rooms - 1.0 if flow is own else flow.rooms
        none = exp(-k * opened)
        sent = costs.send * (1.0 - none) + costs.frame * k * (1.0 - (1.0 - opened) * none)
        before += max(0.0, others) * flow.members * sent
    return before, own.members * costs.send


def _spread(costs: Costs, streams: Sequence[Flow], seconds: float) -> float:
    """Standard deviation of a round's work when it is known how long messages could gather."""
    noise = 0.0
    for flow in streams:
        each = costs.message + flow.members * costs.frame
        call = flow.members * costs.send
        k = flow.rate * seconds
        none = exp(-k)
        noise += flow.rooms * (call * call * none * (1 - none) + each * each * k + 2 * call * each * k * none)
    return sqrt(noise)


def _gamma(shape: float, scale: float, share: float) -> float:
    """A quantile of the gamma distribution after Wilson and Hilferty (1931)."""
    root = 1.0 - 1.0 / (9.0 * shape) + NORMAL.inv_cdf(share) / (3.0 * sqrt(shape))
    return shape * scale * max(root, 1e-3) ** 3


def _points(count: int) -> list[tuple[float, ...]]:
    """Points spread evenly in the unit cube of VARIED dimensions: an additive recurrence (Roberts' R_d)."""
    base = 2.0
    for _ in range(40):
        base = (1.0 + base) ** (1.0 / (VARIED + 1))
    steps = [base ** -(i + 1) for i in range(VARIED)]
    return [tuple((0.5 + step * (n + 1)) % 1.0 for step in steps) for n in range(count)]


def percentile_queue(costs: Costs, streams: Sequence[Flow], share: float) -> float:
    """The same for messages served one by one, first come first served.

    Waiting: M/G/1 after Pollaczek and Khinchine (Kleinrock, Queueing Systems I, 5.6). Those who wait at all
    wait for a time that is nearly exponential (Kingman 1962).
    """
    load = total(streams) * alone(costs, streams)
    if load >= 1.0:
        return inf
    second = sum(flow.rooms * flow.rate * _single(costs, flow) ** 2 for flow in streams)
    wait = second / (2.0 * (1.0 - load)) / load  # mean of those who wait: a share `load` of all
    deliveries = [flow.rooms * flow.rate * flow.members for flow in streams]
    late: list[tuple[float, float]] = []
    for flow, weight in zip(streams, deliveries, strict=True):
        count = max(64, round(POINTS * weight / sum(deliveries)))
        own = _single(costs, flow) - costs.message
        for lot, member, *_ in _points(count):
            waited = wait * log(load / lot) if lot < load else 0.0
            late.append((waited + costs.message + member * own, weight / count))
    return _percentile(late, share)


def _percentile(late: list[tuple[float, float]], share: float) -> float:
    """The value that a `share` of the weights does not exceed."""
    late.sort()
    wanted = share * sum(weight for _, weight in late)
    for value, weight in late:
        wanted -= weight
        if wanted <= 0.0:
            return value
    return late[-1][0]
