"""How late the deliveries of a relay that gathers are: percentiles, from arrival until the send is done.

The distribution has no closed form: a round's length varies, the place of a delivery in its round depends on
when the room's first message came, and a long round lets reading in between. So it is summed up over points
spread evenly over all that varies (a quasi-random sequence, the same for every call), and the percentile is
read off. docs/LOAD_MODEL.md derives it, "Latency".

Invariant: the same numbers give the same answer; nothing here is drawn by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count as count_from
from math import ceil, exp, expm1, floor, inf, log, sqrt
from typing import NamedTuple, TypeAlias

from fastchat.capacity_round import Costs, Flow, held, sends, together, total
from fastchat.capacity_spread import NORMAL, Lengths, following, lengths, reached

POINTS = 1024  # summed over: a p99 rests on ten of them
LEAST_POINTS = 128  # for each kind of room
ROUNDS = 3  # in a row, until large rooms have given a round's length its form
SWEEP = 64  # sends between two looks at the clock (_broadcast.pyx)
FEW = 1e-6  # expected messages: fewer than that are none

Late: TypeAlias = list[tuple[float, float]]  # seconds, weight


class Flusher(NamedTuple):
    """After how much a flush lets reading go on, and how long it may be held back."""

    sends: int
    seconds: float
    hold: float = 0.0


class Lots(NamedTuple):
    """What makes one delivery differ from another, each evenly between 0 and 1."""

    begin: float  # how long the round before was
    arrival: float  # in which part of it the message came
    first: float  # when the first other message of its room came
    member: float  # whose turn it is in the room
    noise: float  # how many messages there were


def percentile_coalescing(
    costs: Costs, streams: Sequence[Flow], flusher: Flusher, share: float, stall: float = 0.0
) -> float:
    """Seconds within which a `share` of all deliveries are sent; infinite beyond saturation."""
    waited = held(costs, streams, flusher.hold)
    found = lengths(costs, streams)
    if found.mean == inf:
        return inf
    drain = 1.0 - found.slope
    if waited and found.mean < waited:
        found = Lengths(waited, 0.0)
    else:
        waited = 0.0
    late: Late = []
    deliveries = [flow.rooms * flow.rate * flow.members for flow in streams]
    for own, weight in zip(streams, deliveries, strict=True):
        scene = _Scene(costs, streams, own, flusher, found, waited > 0.0, stall, drain)
        part = weight / sum(deliveries)
        kind = list(scene.delays(max(LEAST_POINTS, round(POINTS * part))))
        whole = sum(weight for _, weight in kind)
        late += [(delay, part * weight / whole) for delay, weight in kind]
    return percentile(late, share)


class _Scene(NamedTuple):
    """Deliveries in rooms of the flow `own`, among all others."""

    costs: Costs
    streams: Sequence[Flow]
    own: Flow
    flusher: Flusher
    lengths: Lengths
    held: bool  # back: rounds are equally long, and messages are read while it waits
    stall: float  # seconds: variance, per second, of the time in which the machine stands still
    drain: float  # seconds of delay that are made up for in a second

    def delays(self, count: int) -> Iterator[tuple[float, float]]:
        """Delays with their weights."""
        costs, streams, own = self.costs, self.streams, self.own
        rate, size = total(streams), len(streams)
        rounds = 0 if self.held else ROUNDS
        fixed = len(Lots._fields)
        drawn = fixed + size + rounds * (size + 1)
        for point in points(count, drawn + 2):
            lots, places, lost = Lots(*point[:fixed]), point[fixed : fixed + size], point[drawn:]
            seconds = self.lengths.draw(lots.begin)
            for i in range(fixed + size, drawn, size + 1):
                seconds = following(costs, streams, seconds, point[i : i + size + 1])
            # the longer a round the more messages meet it; after one that brought none the server is idle
            yield self._stalled(self._delay(seconds, lots, places), lost), rate * seconds
            if not self.held:
                alone = own.members * turn(lots.member, own.members) * (costs.send + costs.frame)
                yield self._stalled(costs.round + costs.message + alone, lost), exp(-rate * seconds)

    def _stalled(self, delay: float, lost: Sequence[float]) -> float:
        left, still = lost
        return stalled(delay, self.stall, self.drain, left, still)

    def _delay(self, seconds: float, lots: Lots, places: Sequence[float]) -> float:
        """Seconds from arrival to delivery where messages gathered for `seconds`."""
        costs, own = self.costs, self.own
        gathered = total(self.streams) * seconds
        k = own.rate * seconds
        opened = min(lots.arrival, -log(1.0 - lots.first) / k)  # a room's place is that of its first message
        before, after = self._others(seconds, opened, places)
        mine = own.members * (costs.send + (1.0 + k) * costs.frame)
        whole = before + mine + after
        sent = before + turn(lots.member, own.members) * mine
        spread = sqrt(gathered) * NORMAL.inv_cdf(lots.noise)
        noise = spread * (together(costs, self.streams) - costs.message) * sent / whole
        read = 0.0 if self.held else costs.message * max(0.0, 1.0 + gathered + spread)
        read *= self._read(sent, whole, seconds)
        return (1.0 - lots.arrival) * seconds + costs.round + read + max(0.0, sent + noise)

    def _others(self, seconds: float, opened: float, places: Sequence[float]) -> tuple[float, float]:
        """Seconds of sending to other rooms: those whose first message came before `opened`, and the rest."""
        costs = self.costs
        before = after = 0.0
        for flow, lot in zip(self.streams, places, strict=True):
            others = max(0.0, flow.rooms - 1.0) if flow is self.own else flow.rooms
            k = flow.rate * seconds
            early, late = k * opened, k * (1.0 - opened)
            some = -expm1(-early)
            busy = reached(others, some, lot)
            frames = 1.0 + late if early < FEW else late + early / some
            before += busy * flow.members * (costs.send + costs.frame * frames)
            after += (others - busy) * flow.members * (costs.send * -expm1(-late) + costs.frame * late)
        return before, after

    def _read(self, sent: float, whole: float, seconds: float) -> float:
        """The part of a round's messages that is read before so much of it is sent.

        A round is sent in pieces, with reading in between; what came during the last piece of the round
        before is read first.
        """
        each = whole / max(1.0, sends(self.streams, seconds))
        piece = each * min(self.flusher.sends, SWEEP * ceil(self.flusher.seconds / (SWEEP * each)))
        if piece >= whole:
            return 1.0
        last = (whole - piece * (ceil(whole / piece) - 1)) / whole
        return last + floor(sent / piece) * piece / whole


def stalled(delay: float, stall: float, drain: float, left: float, still: float) -> float:
    """A delay on a machine that stands still now and then; `left` and `still` are lots.

    Lost time is taken for a Brownian motion with variance `stall` a second. While a message waits it adds
    to the delay; what it left behind before is a reflected one, which in the long run is exponential with
    mean stall / (2 drain) (Harrison, Brownian Motion and Stochastic Flow Systems, 1985, chapter 5).
    """
    if not stall:
        return delay
    meanwhile = sqrt(stall * delay) * NORMAL.inv_cdf(still)
    return max(0.0, delay + meanwhile) - stall / (2.0 * drain) * log(1.0 - left)


def turn(member: float, members: float) -> float:
    """The part of a room's sends that is done when that member has been served."""
    return min(1.0, ceil(member * members) / members)


def points(count: int, varied: int) -> Iterator[tuple[float, ...]]:
    """Points spread evenly in the unit cube: multiples of square roots of primes (Richtmyer 1951)."""
    primes: list[int] = []
    candidates = count_from(2)
    while len(primes) < varied:
        candidate = next(candidates)
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
    steps = [sqrt(prime) % 1.0 for prime in primes]
    for n in range(1, count + 1):
        yield tuple((0.5 + step * n) % 1.0 for step in steps)


def percentile(late: Late, share: float) -> float:
    """The value that a `share` of the weights does not exceed."""
    late.sort()
    wanted = share * sum(weight for _, weight in late)
    for value, weight in late:
        wanted -= weight
        if wanted <= 0.0:
            return value
    return late[-1][0]
