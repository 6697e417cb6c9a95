"""Costs learned from windows: nothing is claimed that was not shown, and no odd window spoils it."""

from __future__ import annotations

from math import exp
from random import Random

import pytest

from fastchat.capacity_filter import LONGEST, STUBBORN, TYPICAL, Z95, Costs, Filter, Shape

Work = tuple[float, float, float, float, float, float]

ROOM = Shape(fan_out=1000.0, recipients=1000.0, size=130.0)
TEAMS = Shape(fan_out=5.0, recipients=1000.0, size=130.0)
ALLOWED = 0.05  # seconds
SHAPES = {"room": ROOM, "teams": TEAMS, "hall": Shape(5000.0, 5000.0, 1000.0), "pair": Shape(2.0, 2.0, 60.0)}


def costs(factor: float = 1.0, **parts: float) -> Costs:
    """The typical costs on a machine so many times slower, single ones changed by a factor of their own."""
    return Costs(*(cost * factor * parts.get(name, 1.0) for name, cost in TYPICAL._asdict().items()))


def window(true: Costs, shape: Shape, rate: float, noise: float = 1.0) -> tuple[float, Work]:
    """CPU seconds and work of a second at that rate."""
    length = true.iteration(rate, shape)
    k = max(1.0, rate * length)
    rounds = rate / k
    sends = rounds * shape.recipients * (1.0 - exp(-k * shape.fan_out / shape.recipients))
    frames = rate * shape.fan_out
    work = (rate, sends, frames, frames * shape.size, rounds, 0.0)
    return noise * sum(count * cost for count, cost in zip(work, true, strict=True)), work


def taught(true: Costs, shape: Shape, *shares: float, seed: int = 1) -> Filter:
    """A filter that saw ten windows at each of these parts of the capacity."""
    random = Random(seed)
    learner = Filter()
    for share in shares:
        for _ in range(10):
            rate = share * true.rate(ALLOWED, shape)
            learner.learn(*window(true, shape, rate, random.gauss(1.0, 0.03)))
    return learner


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_rate_and_iteration_are_each_others_inverse(shape: Shape, share: float) -> None:
    rate = share / TYPICAL.message(shape)
    length = TYPICAL.iteration(rate, shape)
    assert TYPICAL.rate(length, shape) == pytest.approx(rate, rel=1e-3)


def test_one_busy_room_follows_the_textbook() -> None:
    """T = (M b + e) / (1 - lambda (a + M c)), where an iteration reaches everybody."""
    rate = 12_000.0
    length = (1000 * TYPICAL.b + TYPICAL.e) / (1.0 - rate * TYPICAL.message(ROOM))
    assert TYPICAL.iteration(rate, ROOM) == pytest.approx(length, rel=1e-6)


def test_nothing_can_be_done_in_less_than_an_iteration_takes() -> None:
    assert TYPICAL.rate(TYPICAL.e / 2, ROOM) == 0.0


def test_more_than_the_ceiling_never_ends() -> None:
    assert TYPICAL.iteration(1.01 / TYPICAL.message(ROOM), ROOM) == LONGEST


def test_refusing_takes_its_part() -> None:
    free, busy = TYPICAL.rate(ALLOWED, ROOM), TYPICAL.rate(ALLOWED, ROOM, refused=0.5 / TYPICAL.f)
    assert busy < 0.55 * free
    assert TYPICAL.rate(ALLOWED, ROOM, refused=2 / TYPICAL.f) == 0.0


def test_one_window_tells_how_fast_the_machine_is() -> None:
    learner = Filter()
    assert learner.learn(*window(costs(7.0), ROOM, 500.0))
    assert learner.costs.rate(ALLOWED, ROOM) == pytest.approx(costs(7.0).rate(ALLOWED, ROOM), rel=0.01)


@pytest.mark.parametrize("shape", [ROOM, TEAMS], ids=["room", "teams"])
@pytest.mark.parametrize("parts", [{"a": 1.5, "b": 0.7}, {"a": 0.6, "c": 1.6}, {"b": 1.4, "e": 2.0}])
def test_work_near_the_capacity_tells_the_capacity(shape: Shape, parts: dict[str, float]) -> None:
    true = costs(2.0, **parts)
    learner = taught(true, shape, 0.3, 0.6, 0.9)
    assert learner.costs.rate(ALLOWED, shape) == pytest.approx(true.rate(ALLOWED, shape), rel=0.08)


def test_steady_light_load_leaves_doubt_and_says_so() -> None:
    """The same mixture in every window: which part of it costs what, nobody can know."""
    right = 0
    for seed in range(20):
        random = Random(seed)
        true = costs(2.0, **{name: exp(random.gauss(0.0, 0.3)) for name in "abcde"})
        learner = taught(true, ROOM, 0.1, seed=seed)
        doubt = Z95 * learner.deviation(ALLOWED, ROOM)
        assert doubt > 0.25 * learner.costs.rate(ALLOWED, ROOM)
        right += abs(learner.costs.rate(ALLOWED, ROOM) - true.rate(ALLOWED, ROOM)) <= doubt
    assert right >= 18


def test_doubt_goes_as_the_load_comes() -> None:
    light, heavy = (taught(TYPICAL, ROOM, *shares) for shares in ((0.1,), (0.1, 0.5, 0.9)))
    assert heavy.deviation(ALLOWED, ROOM) < light.deviation(ALLOWED, ROOM) / 3


def test_a_window_with_other_work_is_not_believed() -> None:
    learner = taught(TYPICAL, ROOM, 0.3, 0.7)
    before = learner.costs
    cpu, work = window(TYPICAL, ROOM, 5000.0)
    assert not learner.learn(3 * cpu, work)
    assert learner.costs == before
    assert learner.learn(cpu, work)


def test_many_in_a_row_are_the_new_truth() -> None:
    learner = taught(TYPICAL, ROOM, 0.3, 0.7)
    changed = costs(3.0)
    for _ in range(STUBBORN):
        assert not learner.learn(*window(changed, ROOM, 3000.0))
    assert learner.learn(*window(changed, ROOM, 3000.0))
    assert learner.windows == 1  # and has to become sure again
    assert learner.costs.rate(ALLOWED, ROOM) == pytest.approx(changed.rate(ALLOWED, ROOM), rel=0.05)


def test_what_changes_slowly_is_followed() -> None:
    learner = taught(TYPICAL, ROOM, 0.3, 0.7)
    for step in range(200):
        true = costs(1.0, a=1.0 + step / 100)
        learner.learn(*window(true, ROOM, (0.3 + 0.4 * (step % 2)) * true.rate(ALLOWED, ROOM)))
    assert learner.costs.rate(ALLOWED, ROOM) == pytest.approx(true.rate(ALLOWED, ROOM), rel=0.08)


def test_nothing_ever_costs_less_than_nothing() -> None:
    random = Random(3)
    learner = Filter()
    for _ in range(300):
        work = tuple(random.expovariate(1.0) * scale for scale in (1e3, 1e4, 1e6, 1e8, 100.0, 0.0))
        learner.learn(random.uniform(0.01, 1.0), work)  # type: ignore[arg-type]
        assert min(learner.costs) > 0.0
        assert learner.deviation(ALLOWED, ROOM) >= 0.0
