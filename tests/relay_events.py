"""A relay in discrete events, as the server works: what the load model's formulas are checked against.

An iteration polls, reads every message that has arrived, then sends on with the round under way: at most
`flush_sends` sends or `flush_seconds`, so that a long round yields and reading goes on in between. What was
read during a round waits for the next one. Rooms are served in the order of their first message.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random
from typing import NamedTuple

SWEEP = 64  # sends between two looks at the clock


class Costs(NamedTuple):
    """Seconds: per message, send, frame, iteration with a new round."""

    a: float
    b: float
    f: float
    e: float


class Seen(NamedTuple):
    """What a run showed."""

    latencies: list[float]  # sorted
    rounds: int
    cpu: float
    messages: int
    sends: int
    frames: int
    length: float  # mean seconds of a round

    def percentile(self, share: float) -> float:
        return self.latencies[int(share * len(self.latencies))]


def arrivals(
    parts: Sequence[tuple[int, int]], rate: float, count: int, random: Random
) -> list[tuple[float, int]]:
    """(time, room): Poisson; each member of each room speaks equally often."""
    members = [size for rooms, size in parts for _ in range(rooms)]
    rooms = random.choices(range(len(members)), weights=members, k=count)
    now, found = 0.0, []
    for room in rooms:
        now += random.expovariate(rate)
        found.append((now, room))
    return found


class Stalls:
    """The machine stands still so often a second, at random, for an exponential time."""

    def __init__(self, rate: float, mean: float, random: Random) -> None:
        self._rate = rate
        self._mean = mean
        self._random = random
        self._next = random.expovariate(rate) if rate else inf

    def worked(self, now: float) -> float:
        """When work is done that would be at `now`."""
        while self._next <= now:
            now += self._random.expovariate(1.0 / self._mean)
            self._next += self._random.expovariate(self._rate)
        return now

    def rested(self, now: float) -> float:
        """When a server that slept until `now` goes on."""
        while self._next <= now:
            now = max(now, self._next + self._random.expovariate(1.0 / self._mean))
            self._next += self._random.expovariate(self._rate)
        return now


def relay(
    costs: Costs,
    parts: Sequence[tuple[int, int]],
    rate: float,
    count: int,
    *,
    seed: int = 1,
    flush_sends: int = 512,
    flush_seconds: float = 0.002,
    warm: float = 0.2,
    looks: int = 5,
    stalls: tuple[float, float] = (0.0, 0.0),
) -> Seen:
    """Serve `count` messages; the first part `warm` of them does not count.

    One of `looks` deliveries is looked at, so that rooms count by their deliveries. `stalls`: so many a
    second, so long on average.
    """
    still = Stalls(*stalls, Random(seed + 1))
    random = Random(seed)
    sizes = [size for rooms, size in parts for _ in range(rooms)]
    queue = arrivals(parts, rate, count, random)
    now = busy = 0.0
    at = rounds = sends = frames = 0
    started = length = 0.0
    pending: dict[int, list[float]] = {}
    todo: list[tuple[int, list[float]]] = []  # rooms of the round, the last first
    done = 0  # members of the first room that have been served
    latencies: list[float] = []
    skipped = queue[int(warm * count)][0]
    while at < count or pending or todo:
        if not pending and not todo and queue[at][0] > now:
            now = still.rested(queue[at][0])
        begin = now
        end = at
        while end < count and queue[end][0] <= begin:
            end += 1
        for arrived, room in queue[at:end]:
            pending.setdefault(room, []).append(arrived)
        now = still.worked(now + (end - at) * costs.a)
        busy += (end - at) * costs.a
        at = end
        if not todo:
            if not pending:
                continue
            todo = list(pending.items())[::-1]
            pending = {}
            now += costs.e
            busy += costs.e
            rounds += 1
            started = begin
        left, deadline = flush_sends, now + flush_seconds
        while todo and left > 0 and (left % SWEEP or now < deadline):
            room, waiting = todo[-1]
            each = costs.b + len(waiting) * costs.f
            step = min(sizes[room] - done, left % SWEEP or SWEEP)
            for arrived in waiting:
                if arrived >= skipped:
                    for _ in range(-(-step // looks)):
                        latencies.append(now + random.randint(1, step) * each - arrived)
            now = still.worked(now + step * each)
            busy += step * each
            sends += step
            frames += step * len(waiting)
            left -= step
            done += step
            if done == sizes[room]:
                todo.pop()
                done = 0
        if not todo:
            length += now - started
    latencies.sort()
    return Seen(latencies, rounds, busy, count, sends, frames, length / rounds)
