"""A server's own view of its load: from totals, beat by beat, with other work in between."""

from __future__ import annotations

from math import exp

import pytest

from fastchat.capacity import Crowd, Model
from fastchat.capacity_filter import TYPICAL, Costs, Shape
from fastchat.capacity_live import P99_ITERATIONS, Live, recipients
from fastchat.config import Config
from fastchat.meter import Done, Totals
from tests.coalescing import Coalescing

SLOW = Costs(*(4 * cost for cost in TYPICAL))  # a quarter of the messages for the same story
ROOM = Shape(1000.0, 1000.0, 130.0)
TEAMS = Shape(5.0, 1000.0, 130.0)


def capacity(shape: Shape, limit: float = 0.1) -> float:
    """Messages/s that the model allows."""
    return SLOW.rate(max(limit / P99_ITERATIONS, 4 * SLOW.bare(shape)), shape)


@pytest.mark.parametrize(
    "shape, sessions", [(ROOM, 1000), (ROOM, 1500), (TEAMS, 1000), (Shape(50.0, 2000.0, 200.0), 2000)]
)
def test_it_finds_the_capacity_without_being_told_the_rooms(shape: Shape, sessions: int) -> None:
    world = Coalescing(SLOW, shape, sessions, Config())
    world.pace(0.3 * capacity(shape), 4)
    world.pace(0.8 * capacity(shape), 8)
    live = world.live
    assert live.sure
    assert live.capacity == pytest.approx(capacity(shape), rel=0.12)
    assert live.shape.fan_out == pytest.approx(shape.fan_out, rel=0.02)
    assert live.load == pytest.approx(0.8 * capacity(shape), rel=0.1)
    assert live.iteration == pytest.approx(SLOW.iteration(live.load, shape), rel=0.5)
    assert live.cpu > 0.8


def test_before_there_was_work_nothing_is_known() -> None:
    live = Live(Config())
    assert (live.sure, live.capacity, live.outlook.utilisation) == (False, 0.0, 0.0)
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.pace(5, 10)
    assert (world.live.capacity, world.live.sure) == (0.0, False)


def test_light_load_alone_does_not_make_it_sure() -> None:
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.pace(0.05 * capacity(ROOM), 30)
    assert world.live.capacity > 0.0 and not world.live.sure


@pytest.mark.parametrize("shape", [ROOM, TEAMS], ids=["room", "teams"])
def test_other_work_does_not_spoil_it(shape: Shape) -> None:
    """One window in five holds reads of history, for a third of the core; and none is refused for it."""
    world = Coalescing(SLOW, shape, 1000, Config())
    world.pace(0.3 * capacity(shape), 5)
    for _ in range(6):
        world.pace(0.6 * capacity(shape), 4)
        world.other = 0.03
        world.pace(0.6 * capacity(shape), 1)
        world.other = 0.0
    assert world.admission.refused_publishes == 0
    assert 0.75 * capacity(shape) < world.live.capacity < 1.1 * capacity(shape)


def test_windows_with_many_newcomers_are_not_about_messages() -> None:
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.other = 0.04  # of CONNECT and JOIN

    def came() -> None:
        world.opened += 30

    world.on_beat = came
    world.pace(0.3 * capacity(ROOM), 10)
    assert world.live.filter.windows == 0


def test_an_iteration_of_a_huge_room_may_last_some_flushes() -> None:
    """A flush that is longer than the limit makes a room slow, not dead."""
    huge = Shape(5000.0, 5000.0, 130.0)
    world = Coalescing(SLOW, huge, 5000, Config(latency_limit_ms=20.0))
    world.pace(100, 10)
    live = world.live
    assert live.allowed == pytest.approx(4 * SLOW.bare(huge), rel=0.3)
    assert live.capacity > 0.5 / SLOW.message(huge)


def test_a_core_that_others_use_too_is_a_slower_core() -> None:
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.pace(0.6 * capacity(ROOM), 6)
    alone = world.live.capacity

    def wait() -> None:
        world.cpu -= 0.05  # half of each beat went to somebody else

    world.on_beat = wait
    world.pace(0.6 * capacity(ROOM), 5)
    assert world.live.share < 0.7
    assert world.live.capacity < 0.75 * alone


def test_time_that_stands_still_is_no_division_by_zero() -> None:
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.pace(0.5 * capacity(ROOM), 3)
    totals = world.live._totals
    assert totals is not None
    before = world.live.outlook
    assert world.live.beat(totals, 0.0, 0.0) == before


def test_the_age_of_what_waits_counts_as_an_iteration() -> None:
    """While one flush takes seconds no iteration ends that could say so."""
    world = Coalescing(SLOW, ROOM, 1000, Config())
    world.pace(0.1 * capacity(ROOM), 1)
    totals = world.live._totals
    assert totals is not None
    assert world.live.beat(totals._replace(time=totals.time + 0.1), 0.0, 3.0).iteration == 3.0


@pytest.mark.parametrize("per_member", [0.3, 1.0, 5.0, 64.0])
def test_recipients_follow_from_how_frames_share_sends(per_member: float) -> None:
    reached, rounds = 800, 50
    sends = round(rounds * reached * (1.0 - exp(-per_member)))
    frames = round(rounds * reached * per_member)
    assert recipients(rounds, sends, frames, 5.0, 2000) == pytest.approx(reached, rel=0.03)


@pytest.mark.parametrize(
    "sends, frames, fan_out, sessions, expected",
    [
        (500, 500, 5.0, 2000, 2000.0),  # nothing shared: nobody can tell, all sessions count
        (510, 500, 5.0, 2000, 2000.0),  # more sends than frames: answers to others
        (100, 6400, 100.0, 90, 100.0),  # never below the fan-out
    ],
)
def test_recipients_have_bounds(
    sends: int, frames: int, fan_out: float, sessions: int, expected: float
) -> None:
    assert recipients(100, sends, frames, fan_out, sessions) == expected


@pytest.mark.parametrize("fan_out, members", [(1000, 1000), (5, 1000), (50, 1000)])
def test_it_agrees_with_the_careful_calculation(fan_out: int, members: int) -> None:
    """`Model` sums the latency over all that varies, which takes half a second; here it is a triangle."""
    costs = {name: cost for name, cost in TYPICAL._asdict().items() if name != "f"}
    careful = Model(**costs, hold=0.002).requests_per_second(Crowd(members, fan_out), 130, 0.05).value
    quick = TYPICAL.rate(0.05 / P99_ITERATIONS, Shape(float(fan_out), float(members), 130.0))
    assert quick == pytest.approx(careful, rel=0.05)


def test_iterations_that_outlast_a_window_do_not_change_what_rooms_look_like() -> None:
    """What is put in one window is sent in the next: only whole iterations tell who gets what."""
    live = Live(Config())
    zero = Totals(0.0, 0.0, 0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 100, 100, Done(0, 0, 0, 0))
    one = zero._replace(
        time=1.0, cpu=0.5, rounds=1, messages=100, sends=100, deliveries=10_000, bytes=10**6,
        done=Done(1, 100, 100, 10_000),
    )  # fmt: skip
    two = one._replace(time=2.0, cpu=1.5, messages=1000, sends=150, deliveries=55_000)
    three = two._replace(
        time=3.0, cpu=2.5, rounds=2, messages=2000, sends=220, deliveries=110_000, bytes=10**7,
        done=Done(2, 1000, 200, 100_000),
    )  # fmt: skip
    for totals in (zero, one, two, three):
        live.beat(totals, 0.0, 0.0)
        assert live.shape.fan_out in (0.0, pytest.approx(100.0))
    assert live.shape.recipients == pytest.approx(100.0)


@pytest.mark.parametrize("share, seconds", [(0.01, 20.0), (0.9, 4.5)], ids=["light load", "few windows"])
def test_a_narrow_interval_alone_does_not_make_it_sure(share: float, seconds: float) -> None:
    shape = Shape(100.0, 100.0, 130.0)
    world = Coalescing(SLOW, shape, 100, Config())
    world.pace(share * capacity(shape), seconds)
    world.live.deviation = 0.0
    assert world.live.capacity > 0.0 and not world.live.sure


def test_what_is_let_in_is_served_little_later_than_near_the_capacity() -> None:
    shape = Shape(100.0, 100.0, 130.0)
    world = Coalescing(SLOW, shape, 100, Config())
    world.pace(0.8 * capacity(shape), 8)
    near = SLOW.iteration(0.9 * capacity(shape), shape)
    assert near < world.live.outlook.target < 2 * near < world.live.allowed
    assert 0.8 * capacity(shape) < world.live.outlook.rate < capacity(shape)
