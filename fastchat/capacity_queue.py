"""How late the deliveries of a server are that sends them one by one, message after message (threads).

Invariant: pure arithmetic; the server is one queue, first come first served, whichever threads stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, inf, log

from fastchat.capacity_latency import LEAST_POINTS, POINTS, Late, percentile, points, stalled, turn
from fastchat.capacity_round import HALVINGS, Costs, Flow, alone, total
from fastchat.capacity_spread import single

MOST_EXPONENT = 300.0  # larger ones do not fit into a float; waiting is then shorter than any service


def percentile_queue(costs: Costs, streams: Sequence[Flow], share: float, stall: float = 0.0) -> float:
    """Seconds within which a `share` of all deliveries are sent; infinite beyond saturation.

    A message waits as in M/G/1. Beyond a moment P(W > t) = C exp(-theta t) with the theta and C of Cramer and
    Lundberg, exact in the tail (Asmussen, Applied Probability and Queues, XIII.5); never more than rho wait.
    """
    load = total(streams) * alone(costs, streams)
    if load >= 1.0:
        return inf
    decay = _decay(costs, streams)
    grown = sum(
        flow.rooms * flow.rate * single(costs, flow) * exp(decay * single(costs, flow)) for flow in streams
    )
    factor = (1.0 - load) / (grown - 1.0)
    deliveries = [flow.rooms * flow.rate * flow.members for flow in streams]
    late: Late = []
    for flow, weight in zip(streams, deliveries, strict=True):
        count = max(LEAST_POINTS, round(POINTS * weight / sum(deliveries)))
        own = single(costs, flow) - costs.message
        for lot, member, left, still in points(count, 4):
            waited = max(0.0, log(factor / lot) / decay) if lot < load else 0.0
            delay = waited + costs.message + turn(member, flow.members) * own
            late.append((stalled(delay, stall, 1.0 - load, left, still), weight / count))
    return percentile(late, share)


def _decay(costs: Costs, streams: Sequence[Flow]) -> float:
    """The theta > 0 with lambda (E exp(theta S) - 1) = theta."""

    def falls(theta: float) -> bool:
        risen = sum(flow.rooms * flow.rate * expm1(theta * single(costs, flow)) for flow in streams)
        return risen < theta

    longest = max(single(costs, flow) for flow in streams)
    low, high = 0.0, 1e-6 / longest
    while falls(high) and high * longest < MOST_EXPONENT:
        low, high = high, 2.0 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) else (low, middle)
    return high
