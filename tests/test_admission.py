"""The gates: when they close, when they open, what they let through, and what they never do."""

from __future__ import annotations

from math import inf

import pytest

from fastchat.admission import CALM_BEATS, LONGEST_RETRY, RETRY_MS, Admission, Outlook
from fastchat.capacity_filter import TYPICAL, Costs, Shape
from fastchat.capacity_live import P99_ITERATIONS
from fastchat.config import Config
from tests.coalescing import Coalescing

CALM = Outlook(True, 1000.0, 1200.0, 100.0, 950.0, 0.02, 0.05, 0.001)
BUSY = CALM._replace(offered=930.0, iteration=0.03)
FLOODED = CALM._replace(offered=2000.0, iteration=0.06)


class Gates(Admission):
    """Admission with its clock: beats of 100 ms."""

    __slots__ = ("now",)

    def __init__(self, on: bool = True) -> None:
        super().__init__(on, 0.9, 0.97)
        self.now = 0

    def beats(self, outlook: Outlook, count: int = 1) -> None:
        for _ in range(count):
            self.now += 100
            self.judge(outlook, self.now)

    def rush(self, count: int) -> int:
        """How many of so many publishes at this moment get through."""
        return [self.publish(self.now) for _ in range(count)].count(0)


def test_nobody_is_refused_while_there_is_room() -> None:
    gates = Gates()
    gates.beats(CALM, 20)
    assert (gates.closed, gates.full) == (False, False)


def test_connections_are_refused_first() -> None:
    gates = Gates()
    gates.beats(BUSY)
    assert (gates.closed, gates.full) == (False, True)
    gates.beats(FLOODED)
    assert (gates.closed, gates.full) == (True, True)


def test_both_open_again_only_some_way_below() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    gates.rush(1000)
    gates.beats(CALM._replace(offered=930.0))
    assert (gates.closed, gates.full) == (True, True)
    gates.beats(CALM._replace(offered=910.0))
    assert (gates.closed, gates.full) == (False, True)
    gates.beats(CALM._replace(offered=860.0))
    assert gates.full
    gates.beats(CALM._replace(offered=840.0))
    assert not gates.full


@pytest.mark.parametrize(
    "outlook",
    [
        FLOODED._replace(sure=False, most=2300.0),
        FLOODED._replace(sure=False, most=inf),
        FLOODED._replace(capacity=0.0),
        FLOODED._replace(iteration=0.01),  # whatever the model says, it serves quickly
        FLOODED._replace(offered=500.0),  # slow for other reasons
    ],
    ids=["not sure", "not seen", "not known", "iterations are short", "little offered"],
)
def test_what_closes_no_gate(outlook: Outlook) -> None:
    gates = Gates()
    gates.beats(outlook, 20)
    assert (gates.closed, gates.full) == (False, False)


def test_switched_off_it_refuses_nobody() -> None:
    gates = Gates(on=False)
    gates.beats(FLOODED, 20)
    assert (gates.closed, gates.full) == (False, False)


def test_what_is_beyond_all_doubt_needs_no_good_estimate() -> None:
    gates = Gates()
    gates.beats(FLOODED._replace(sure=False, most=1500.0))
    assert gates.closed


def test_doubt_that_comes_later_does_not_open_them() -> None:
    """In an overload windows differ; if that opened the gates they would swing."""
    gates = Gates()
    gates.beats(FLOODED)
    gates.rush(1000)
    gates.beats(FLOODED._replace(sure=False))
    assert gates.closed
    gates.beats(FLOODED._replace(sure=False, capacity=0.0))
    assert not gates.closed


def test_the_bucket_lets_through_what_the_model_allows() -> None:
    gates = Gates()
    gates.beats(FLOODED._replace(iteration=0.03, target=0.03))
    passed = 0
    for _ in range(2000):
        gates.now += 1
        passed += gates.rush(2)
    assert passed == pytest.approx(2 * 950, rel=0.02)
    assert gates.refused_publishes == 4000 - passed


def test_the_bucket_holds_little_more_than_an_iteration_brings() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    gates.now += 10_000
    assert gates.rush(1000) <= 2 + 1.5 * 950 * 0.02


def test_refusals_say_when_to_come_back() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    gates.rush(100)
    assert gates.publish(gates.now) == 2 * RETRY_MS
    assert gates.connect() == 4 * RETRY_MS
    gates.beats(FLOODED._replace(offered=1e9))
    assert gates.connect() == 2 * LONGEST_RETRY * RETRY_MS
    assert gates.refused_connections == 2


def test_a_gate_that_refuses_nobody_opens() -> None:
    """A wrong model may say that there is too much; if the bucket has enough for all there is not."""
    gates = Gates()
    gates.beats(FLOODED)
    gates.beats(FLOODED._replace(iteration=0.001), CALM_BEATS)
    assert not gates.closed


def test_a_model_that_is_too_careful_is_corrected() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    for _ in range(60):
        gates.rush(1000)
        gates.beats(FLOODED._replace(iteration=0.005))
    assert gates.trim > 2.0


def test_a_model_that_promises_too_much_is_corrected() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    for _ in range(8):
        gates.rush(1000)
        gates.beats(FLOODED._replace(iteration=0.06))
    assert gates.trim < 0.65
    for _ in range(50):
        gates.rush(1000)
        gates.beats(FLOODED._replace(iteration=0.06))
    assert gates.trim >= 0.3


def test_while_iterations_get_shorter_nothing_needs_correction() -> None:
    gates = Gates()
    gates.beats(FLOODED)
    trim = gates.trim
    for length in (0.055, 0.05, 0.045, 0.04, 0.035, 0.03):
        gates.beats(FLOODED._replace(iteration=length))
    assert gates.trim == trim


# --- with the model and a server that is simulated

ROOM = Shape(1000.0, 1000.0, 130.0)
ROOMS = {
    "10": Shape(10.0, 10.0, 130.0),
    "100": Shape(100.0, 100.0, 130.0),
    "1,000": ROOM,
    "5,000": Shape(5000.0, 5000.0, 130.0),
}


def machine(factor: float, **parts: float) -> Costs:
    return Costs(*(cost * factor * parts.get(name, 1.0) for name, cost in TYPICAL._asdict().items()))


def capacity(costs: Costs, shape: Shape, limit: float) -> float:
    return costs.rate(max(limit / P99_ITERATIONS, 4 * costs.bare(shape)), shape)


@pytest.mark.parametrize("parts", [{}, {"a": 2.0, "b": 0.5}, {"c": 2.5}, {"b": 2.0, "c": 0.5}], ids=str)
@pytest.mark.parametrize("shape", ROOMS.values(), ids=ROOMS)
def test_a_fresh_server_never_refuses_who_waits_for_acknowledgements(
    shape: Shape, parts: dict[str, float]
) -> None:
    """A window bounds the iteration by itself; and nothing is known yet."""
    world = Coalescing(machine(4.0, **parts), shape, int(shape.recipients), Config())
    seen = []
    world.on_beat = lambda: seen.append(world.admission.closed or world.admission.full)
    world.flood(64, 12.0)
    assert len(seen) > 20 and not any(seen)
    assert world.admission.refused_publishes == 0


@pytest.mark.parametrize("shape", ROOMS.values(), ids=ROOMS)
def test_a_machine_that_stalls_is_not_overloaded(shape: Shape) -> None:
    """Others take the core for a while, time and again: that is no load of ours."""
    world = Coalescing(machine(4.0), shape, int(shape.recipients), Config())
    world.stalls = 0.02
    world.flood(64, 15.0)
    assert world.live.filter.windows > 5
    assert (world.admission.refused_publishes, world.admission.full) == (0, False)


@pytest.mark.parametrize(
    "shape, limit, parts",
    [
        (ROOM, 100.0, {}),
        (ROOM, 20.0, {"a": 1.5, "b": 0.7}),
        (Shape(100.0, 100.0, 130.0), 20.0, {"c": 2.0}),
        (Shape(5000.0, 5000.0, 130.0), 100.0, {}),
        (Shape(50.0, 1000.0, 130.0), 50.0, {}),
    ],
    ids=["room", "room, 20 ms", "100 members", "5,000 members", "teams of 50"],
)
def test_at_twice_the_capacity_the_admitted_are_served_in_time(
    shape: Shape, limit: float, parts: dict[str, float]
) -> None:
    costs = machine(4.0, **parts)
    world = Coalescing(costs, shape, int(shape.recipients), Config(latency_limit_ms=limit))
    most = capacity(costs, shape, limit / 1000)
    world.pace(0.3 * most, 4.0)
    world.pace(0.9 * most, 8.0)
    near = world.p99(world.now - 5.0)
    started, admitted = world.now, len(world.latencies)
    world.pace(2.0 * most, 8.0)
    assert world.admission.closed and world.admission.full
    assert world.p99(started + 2.0) < 2.0 * near
    assert len(world.latencies) - admitted > 0.3 * 8.0 * most  # refusing takes its part of the core
    world.pace(0.5 * most, 2.0)
    assert not (world.admission.closed or world.admission.full)


def test_without_admission_everybody_waits() -> None:
    costs = machine(4.0)
    world = Coalescing(costs, ROOM, 1000, Config(latency_limit_ms=20.0, admission=False))
    most = capacity(costs, ROOM, 0.02)
    world.pace(0.9 * most, 8.0)
    near, started = world.p99(world.now - 5.0), world.now
    world.pace(2.0 * most, 8.0)
    assert world.p99(started + 2.0) > 4.0 * near
    assert world.admission.refused_publishes == 0


def test_a_sudden_overload_closes_the_gate_within_a_second() -> None:
    costs = machine(4.0)
    world = Coalescing(costs, ROOM, 1000, Config(latency_limit_ms=20.0))
    most = capacity(costs, ROOM, 0.02)
    world.pace(0.7 * most, 10.0)
    world.pace(2.0 * most, 1.0)
    assert world.admission.closed
