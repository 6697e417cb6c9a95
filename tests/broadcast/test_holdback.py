"""The hold-back against a model of the loop whose costs are those that were measured.

A send costs 4 microseconds, a message 8, a further frame in a send 40 nanoseconds, an iteration 10
microseconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from random import Random

import pytest

from fastchat.holdback import HoldBack

SEND, MESSAGE, FRAME, ITERATION = 4e-6, 8e-6, 40e-9, 10e-6  # seconds
BUDGET = 0.002


class Loop:
    """One server with rooms of `members`; counts what it costs and how long messages take."""

    def __init__(self, members: int, budget: float = BUDGET, *, rooms: int = 1) -> None:
        self.members = members
        self.rooms = rooms
        self.hold = HoldBack(budget)
        self.now = 10.0
        self.busy = 0.0
        self.messages = self.deliveries = self.sends = 0
        self.waiting: list[tuple[float, int, bool]] = []  # arrival, room, private
        self.latencies: list[float] = []
        self.flushes = 0
        self.held = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.busy += seconds

    def run(self, arrivals: Iterable[tuple[float, int, bool]], window: int = 0, rtt: float = 50e-6) -> Loop:
        """Serve (time, room, private) until none is left; with a window, each flush brings as many again."""
        queue = list(arrivals)
        heapq.heapify(queue)
        turns = 400 if window else 0
        timer = math.inf
        while queue or self.waiting:
            self.now = max(self.now, min(queue[0][0] if queue else math.inf, timer))
            self.work(ITERATION)
            while queue and queue[0][0] <= self.now:
                arrival = heapq.heappop(queue)
                self.waiting.append(arrival)
                self.messages += not arrival[2]
                self.work(MESSAGE)
            wait = self.hold.wait(self.now, self.messages)
            assert 0.0 <= wait <= BUDGET
            if wait:
                timer = math.ceil((self.now + wait) * 1000) / 1000  # timers tick in milliseconds
                continue
            timer = math.inf
            if not self.waiting:
                continue
            self.flush()
            if turns:
                turns -= 1
                for i in range(window):
                    heapq.heappush(queue, (self.now + rtt + i * 1e-6, 0, False))
        return self

    def flush(self) -> None:
        start = self.now
        self.held = max(self.held, start - self.waiting[0][0])
        rooms = {room for _, room, private in self.waiting if not private}
        frames = sum(not private for _, _, private in self.waiting)
        sends = len(rooms) * self.members + sum(private for _, _, private in self.waiting)
        self.work(sends * SEND + frames * self.members * FRAME)
        self.sends += sends
        self.deliveries += frames * self.members
        self.flushes += 1
        self.latencies += [self.now - arrival for arrival, _, _ in self.waiting]
        self.waiting.clear()
        self.hold.flushed(self.now, self.now - start, self.messages, self.deliveries, self.sends)

    @property
    def efficiency(self) -> float:
        """Deliveries per second of work."""
        return self.deliveries / self.busy

    def p(self, share: float) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * share)]


def poisson(
    rate: float, seconds: float, *, rooms: int = 1, private: bool = False
) -> list[tuple[float, int, bool]]:
    random = Random(20)
    now, arrivals = 10.0, []
    while now < 10.0 + seconds:
        now += random.expovariate(rate)
        arrivals.append((now, random.randrange(rooms), private))
    return arrivals


def paced(rate: float, seconds: float) -> list[tuple[float, int, bool]]:
    return [(10.0 + i / rate, 0, False) for i in range(int(rate * seconds))]


@pytest.mark.parametrize("arrivals", [poisson, paced])
def test_at_middling_load_it_at_least_halves_the_cost(arrivals):
    at_once = Loop(100, 0.0).run(arrivals(5000, 2.0))
    held = Loop(100).run(arrivals(5000, 2.0))
    assert held.efficiency >= 2 * at_once.efficiency
    assert held.p(0.99) < 0.003


@pytest.mark.parametrize("arrivals", [poisson, paced])
@pytest.mark.parametrize("rate", [1, 50, 200, 500])
def test_few_messages_never_wait(arrivals, rate):
    at_once = Loop(100, 0.0).run(arrivals(rate, 5.0))
    held = Loop(100).run(arrivals(rate, 5.0))
    assert held.flushes == at_once.flushes
    assert held.latencies == at_once.latencies


@pytest.mark.parametrize("members", [500, 1000, 5000])
def test_a_large_room_needs_no_waiting(members):
    at_once = Loop(members, 0.0).run(poisson(2000, 2.0))
    held = Loop(members).run(poisson(2000, 2.0))
    assert held.p(0.99) <= 1.05 * at_once.p(0.99)


def test_replies_alone_never_wait():
    at_once = Loop(100, 0.0).run(poisson(20_000, 1.0, private=True))
    held = Loop(100).run(poisson(20_000, 1.0, private=True))
    assert held.latencies == at_once.latencies


def test_a_publisher_that_waits_for_its_acknowledgements_is_not_held_up():
    """Flat out with a window: nothing more comes until the flush."""
    first = [(10.0 + i * 1e-6, 0, False) for i in range(64)]
    at_once = Loop(100, 0.0).run(first, window=64)
    held = Loop(100).run(first, window=64)
    assert len(held.latencies) == len(at_once.latencies)
    assert held.now - 10.0 <= 1.1 * (at_once.now - 10.0)


def test_many_small_rooms_gain_nothing_and_wait_rarely():
    arrivals = poisson(5000, 2.0, rooms=200)
    at_once = Loop(20, 0.0, rooms=200).run(arrivals)
    held = Loop(20, rooms=200).run(arrivals)
    assert held.p(0.9) <= 1.5 * at_once.p(0.9)


def test_a_single_burst_on_an_idle_server_goes_at_once():
    loop = Loop(100)
    loop.run([(10.0 + i * 5.0 + k * 1e-7, 0, False) for i in range(20) for k in range(64)])
    assert loop.flushes <= 40
    assert loop.held < 0.001


def test_nothing_waits_past_the_budget():
    loop = Loop(100).run(poisson(5000, 1.0))
    assert BUDGET / 2 < loop.held < BUDGET + 0.0015  # the timer's millisecond, an iteration


def test_it_notices_when_the_stream_stops():
    loop = Loop(100)
    loop.run([*paced(5000, 1.0), (20.0, 0, False), (30.0, 0, False)])
    assert loop.latencies[-1] < 0.0005
    assert loop.latencies[-2] < 0.0005


def test_it_can_be_switched_off():
    hold = HoldBack(0.0)
    for i in range(1000):
        assert hold.wait(i * 1e-4, i * 10) == 0.0


def test_it_begins_and_ends_with_the_load():
    """Waiting starts within a few windows of a stream's begin and stops with it."""
    loop = Loop(100)
    loop.run([*paced(300, 1.0), *((11.0 + i / 5000, 0, False) for i in range(5000))])
    early = loop.latencies[:300]
    assert max(early) < 0.0008
    later = loop.latencies[1000:]
    assert sum(later) / len(later) > 0.0008


def test_more_load_than_the_budget_can_help_with():
    at_once = Loop(100, 0.0).run(poisson(60_000, 0.5))
    held = Loop(100).run(poisson(60_000, 0.5))
    assert held.efficiency >= 0.95 * at_once.efficiency
    assert held.p(0.99) <= at_once.p(0.99) + BUDGET
