"""What one round of the relay costs and how long it lasts: the equation of docs/LOAD_MODEL.md.

A round sends what was read during the round before. So its length T depends on how many messages a T brings,
and how many different rooms they are for: T = g(T). `Rooms` of equal size and rate share a term.

Invariant: pure arithmetic; seconds and messages a second throughout, no payload sizes (they are in `frame`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf
from typing import NamedTuple

from fastchat.capacity_shape import Part
from fastchat.holdback import ENOUGH, MORE, SHARE

HALVINGS = 60  # of an interval, at most: more than a float has digits
FINE = 1e-10  # of a length: further digits mean nothing
SHARED = 1.5  # frames a send from which on holding back pays (holdback.py)
DOUBLED = 1.5  # flushes that must fit into a wait, or it seldom doubles what it found


class Costs(NamedTuple):
    """CPU seconds for rooms of one shape and messages of one size."""

    message: float  # a: to read one
    send: float  # b: a system call, at this number of sockets
    frame: float  # c + d * bytes: a delivery within a send
    round: float  # e: an iteration with a flush


class Flow(NamedTuple):
    """Equal rooms, each with its own Poisson stream."""

    rooms: float
    members: float
    rate: float  # messages/s in each of them


def flows(parts: Sequence[Part], rate: float) -> tuple[Flow, ...]:
    """Spread `rate` messages/s over all members equally."""
    each = rate / sum(part.rooms * part.members for part in parts)
    return tuple(Flow(part.rooms, part.members, each * part.members) for part in parts)


def total(streams: Sequence[Flow]) -> float:
    """Messages/s over all rooms."""
    return sum(flow.rooms * flow.rate for flow in streams)


def alone(costs: Costs, streams: Sequence[Flow]) -> float:
    """Seconds that a message costs whose sends it shares with no other, e not counted."""
    each = sum(flow.rooms * flow.rate * flow.members for flow in streams) / total(streams)
    return costs.message + each * (costs.send + costs.frame)


def together(costs: Costs, streams: Sequence[Flow]) -> float:
    """Seconds that a message costs where all that it needs is sent anyway: the limit of long rounds."""
    each = sum(flow.rooms * flow.rate * flow.members for flow in streams) / total(streams)
    return costs.message + each * costs.frame


def sends(streams: Sequence[Flow], seconds: float) -> float:
    """Sends of a round that so many seconds of arrivals fill."""
    return sum(flow.rooms * flow.members * (1.0 - exp(-flow.rate * seconds)) for flow in streams)


def work(costs: Costs, streams: Sequence[Flow], seconds: float) -> float:
    """Seconds that a round costs after `seconds` of arrivals; where none came the server waits for one."""
    k = total(streams) * seconds
    regular = costs.round + costs.send * sends(streams, seconds) + k * together(costs, streams)
    return regular + exp(-k) * alone(costs, streams)


def length(costs: Costs, streams: Sequence[Flow]) -> float:
    """Mean seconds from round to round: T = g(T). Infinite where more comes than can be served."""
    most = 1.0 - total(streams) * together(costs, streams)
    if most <= 0.0:
        return inf
    everything = costs.round + costs.send * sum(flow.rooms * flow.members for flow in streams)
    low, high = 0.0, (everything + alone(costs, streams)) / most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if work(costs, streams, middle) > middle:
            low = middle
        else:
            high = middle
        if high - low <= FINE * high:
            break
    return high


def held(costs: Costs, streams: Sequence[Flow], budget: float) -> float:
    """Seconds from round to round where flushes are held back; 0 where they are not.

    The judgement of holdback.py for a steady stream: it waits while enough messages come, they share sends,
    and flushing at once would keep the core busy; until the budget is over or enough have gathered.
    """
    rate = total(streams)
    gathered = min(budget, ENOUGH / rate)
    calls = sends(streams, gathered)
    frames = gathered * sum(flow.rooms * flow.rate * flow.members for flow in streams)
    flush = costs.send * calls + costs.frame * frames
    left = budget - flush
    if left < DOUBLED * flush or rate * left < MORE or rate * flush < SHARE or frames < SHARED * calls:
        return 0.0
    return flush + exp(-rate * flush) / rate + min(left, max(0.0, ENOUGH / rate - flush))
