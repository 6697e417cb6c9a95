"""The formulas for latency against a relay, and a queue of threads, in discrete events."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from fastchat.capacity import Group, Model
from fastchat.capacity_spread import Lengths, reached
from tests import relay_events
from tests.broadcast.test_holdback import BUDGET, FRAME, ITERATION, MESSAGE, SEND, Loop, poisson

COSTS = relay_events.Costs(a=8e-6, b=4e-6, f=40e-9, e=30e-6)
RELAY = Model(a=COSTS.a, b=COSTS.b, c=COSTS.f, e=COSTS.e)
SHAPES = {
    "one room": (Group(1, 100),),
    "one large room": (Group(1, 1000),),
    "teams of 5": (Group(200, 5),),
    "teams of 50": (Group(20, 50),),
    "many teams of 50": (Group(200, 50),),
    "mixed": (Group(120, 5), Group(6, 50), Group(1, 100)),
    "mixed with a large hall": (Group(1200, 5), Group(60, 50), Group(1, 1000)),
}
# messages/s, then by how much p50 and p99 may differ: light, middling, heavy load of each shape
LOADS = (
    ("one room", 100, 0.05, 0.05),
    ("one room", 2000, 0.05, 0.05),
    ("one room", 30_000, 0.05, 0.05),
    ("one large room", 100, 0.05, 0.05),
    ("one large room", 4500, 0.05, 0.05),
    ("one large room", 15_000, 0.05, 0.05),
    ("teams of 5", 100, 0.05, 0.05),
    ("teams of 5", 15_000, 0.05, 0.05),
    ("teams of 5", 30_000, 0.06, 0.12),
    ("teams of 50", 100, 0.05, 0.07),
    ("teams of 50", 4500, 0.07, 0.08),
    ("teams of 50", 15_000, 0.05, 0.05),
    ("teams of 50", 34_500, 0.07, 0.05),
    ("many teams of 50", 8000, 0.05, 0.05),
    ("many teams of 50", 25_000, 0.05, 0.05),
    ("mixed", 100, 0.06, 0.07),
    ("mixed", 4500, 0.06, 0.22),
    ("mixed", 18_000, 0.1, 0.07),
    ("mixed", 33_000, 0.05, 0.05),
    ("mixed with a large hall", 2000, 0.06, 0.07),
    ("mixed with a large hall", 8000, 0.05, 0.05),
    ("mixed with a large hall", 25_000, 0.05, 0.05),
)


@pytest.mark.parametrize("name, rate, half, tail", LOADS)
def test_percentiles_are_those_of_the_relay(name, rate, half, tail):
    shape = SHAPES[name]
    length = RELAY.iteration(rate, shape)
    count = min(20_000, max(14_000, int(60 * rate * length)))
    looks = max(5, min(group.members for group in shape) // 20)
    seen = relay_events.relay(COSTS, shape, rate, count, looks=looks)
    assert RELAY.latency(rate, shape, 0, 0.5) == pytest.approx(seen.percentile(0.5), rel=half)
    assert RELAY.latency(rate, shape, 0, 0.99) == pytest.approx(seen.percentile(0.99), rel=tail)


STALLS = (1000.0, 0.0002)  # a second, seconds on average: many and short, as the formula takes them to be
STALLED = (
    ("one large room", 4500, 0.1),
    ("teams of 5", 28_000, 0.3),
    ("many teams of 50", 25_000, 0.1),
    ("mixed with a large hall", 8000, 0.12),
)


@pytest.mark.parametrize("name, rate, tail", STALLED)
def test_p99_of_a_machine_that_stands_still_now_and_then(name, rate, tail):
    """Lost time as such is in the prices, as what was measured has it; how it comes is in `stall`."""
    shape = SHAPES[name]
    often, long = STALLS
    bare = RELAY.dearer(often * long / (1 - often * long))
    model = replace(bare, stall=2 * often * long * long)  # E X^2 of an exponential time
    seen = relay_events.relay(COSTS, shape, rate, 5 * rate, looks=50, stalls=STALLS).percentile(0.99)
    found = model.latency(rate, shape, 0, 0.99)
    assert found == pytest.approx(seen, rel=tail)
    assert bare.latency(rate, shape, 0, 0.99) < found < 1.02 * seen
    assert model.latency(rate, shape, 0, 0.5) == bare.latency(rate, shape, 0, 0.5)


LENGTHS = [("one room", 2000), ("one large room", 4500), ("teams of 50", 15_000)]


@pytest.mark.parametrize("name, rate", LENGTHS)
def test_rounds_are_as_long_and_as_full_as_those_of_the_relay(name, rate):
    seen = relay_events.relay(COSTS, SHAPES[name], rate, 12_000, looks=50)
    length = RELAY.iteration(rate, SHAPES[name])
    assert length == pytest.approx(seen.length, rel=0.04)
    assert rate * length + math.exp(-rate * length) == pytest.approx(seen.messages / seen.rounds, rel=0.05)


def test_one_rule_of_thumb_does_not_serve_all():
    """1.859 T is right for one room; where rooms are small those that spoke first are served first."""
    large, small = (
        RELAY.latency(rate, shape) / RELAY.iteration(rate, shape)
        for rate, shape in ((8000, SHAPES["one large room"]), (8000, SHAPES["many teams of 50"]))
    )
    assert large == pytest.approx(1.86, abs=0.06)
    assert small < 1.4


@pytest.mark.parametrize("members, rate", [(100, 4000), (100, 8000), (60, 12_000)])
def test_a_held_back_flush_is_expected(members, rate):
    held = Loop(members, BUDGET).run(poisson(rate, 2.0))
    model = Model(a=MESSAGE, b=SEND, c=FRAME, e=ITERATION, hold=BUDGET)
    assert model.iteration(rate, members) == pytest.approx(2.0 / held.flushes, rel=0.15)
    # there the whole flush counts as the delivery's time: compare the tail, where it nearly does
    assert model.latency(rate, members) == pytest.approx(held.p(0.99), rel=0.2)


@pytest.mark.parametrize("members, rate", [(100, 200), (5, 5000), (1000, 4000)])
def test_nobody_holds_back_where_it_does_not_pay(members, rate):
    model = Model(a=MESSAGE, b=SEND, c=FRAME, e=ITERATION, hold=BUDGET)
    bare = Model(a=MESSAGE, b=SEND, c=FRAME, e=ITERATION)
    assert model.iteration(rate, members) == bare.iteration(rate, members)
    assert model.latency(rate, members) == bare.latency(rate, members)


def queue(model: Model, shape: tuple[Group, ...], rate: float, count: int) -> list[float]:
    """Latencies of a server that serves message after message and sends after send."""
    random = Random(5)
    sizes = [group.members for group in shape for _ in range(group.rooms)]
    now = free = 0.0
    late = []
    looks = max(5, min(sizes) // 2)
    for members in random.choices(sizes, weights=sizes, k=count):
        now += random.expovariate(rate)
        begin = max(now, free) + model.a
        late += [begin + random.randint(1, members) * model.b - now for _ in range(-(-members // looks))]
        free = begin + members * model.b
    return sorted(late)


THREADS = Model(a=20e-6, b=5e-6, coalescing=False)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("name", ["one room", "teams of 5", "mixed"])
def test_percentiles_are_those_of_a_queue(name, load):
    shape = SHAPES[name]
    rate = load / THREADS.iteration(1, shape)
    late = queue(THREADS, shape, rate, 40_000 if load < 0.8 else 150_000)
    assert THREADS.latency(rate, shape, 0, 0.5) == pytest.approx(late[len(late) // 2], rel=0.12)
    assert THREADS.latency(rate, shape, 0, 0.99) == pytest.approx(late[len(late) * 99 // 100], rel=0.12)


def test_a_queue_without_load_does_not_wait():
    assert THREADS.latency(1e-6, 100) == pytest.approx(THREADS.iteration(1, 100), rel=0.02)
    assert THREADS.latency(1e-6, 100, 0, 0.5) == pytest.approx(THREADS.a + 50 * THREADS.b, rel=0.03)


def test_numbers_of_rooms_are_binomial():
    lots = [(i + 0.5) / 4000 for i in range(4000)]
    for rooms, share in ((1.0, 0.3), (1.0, 0.9), (7.0, 0.2), (40.0, 0.05), (300.0, 0.6), (12.5, 0.5)):
        found = [reached(rooms, share, lot) for lot in lots]
        mean = sum(found) / len(found)
        assert mean == pytest.approx(rooms * share, rel=0.03)
        spread = sum((x - mean) ** 2 for x in found) / len(found)
        assert spread == pytest.approx(rooms * share * (1 - share), rel=0.08)
        assert 0 <= min(found) <= max(found) <= rooms
        assert found == sorted(found)


def test_lengths_of_rounds_have_their_mean_and_variance():
    for mean, variance in ((1.0, 0.0), (1.0, 0.01), (2.0, 1.0)):
        found = [Lengths(mean, variance).draw((i + 0.5) / 2000) for i in range(2000)]
        assert sum(found) / 2000 == pytest.approx(mean, rel=0.02)
        assert sum((x - mean) ** 2 for x in found) / 2000 == pytest.approx(variance, rel=0.1, abs=1e-12)


def test_beyond_saturation_nothing_arrives():
    rate = 1.01 / THREADS.iteration(1, 100)
    assert THREADS.latency(rate, 100) == math.inf
    assert RELAY.latency(1.01 / (COSTS.a + 100 * COSTS.f), 100) == math.inf
    assert RELAY.iteration(1.01 / (COSTS.a + 100 * COSTS.f), 100) == math.inf
