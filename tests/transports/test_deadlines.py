"""The wheel of deadlines: never early, at most a tick late, in slices, bounded work."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from fastchat.transports.deadlines import NONE, Deadlines

TICK = 0.1


class Item:
    def __init__(self, act: Callable[[float], float] = lambda now: 0.0) -> None:
        self.bucket = NONE
        self.asked: list[float] = []
        self._act = act

    def due(self, now: float) -> float:
        self.asked.append(now)
        return self._act(now)


def sweep_until(wheel: Deadlines, start: float, end: float, step: float = 0.05) -> None:
    now = start
    while now <= end:
        while wheel.sweep(now, 10):
            pass
        now += step


def test_a_deadline_is_never_early_and_at_most_a_tick_late() -> None:
    wheel = Deadlines(10.0, TICK)
    item = Item()
    wheel.put(item, 10.55)
    sweep_until(wheel, 10.0, 12.0)
    assert len(item.asked) == 1
    assert 10.55 <= item.asked[0] <= 10.55 + TICK + 0.05


@given(st.lists(st.floats(0.0, 5.0), max_size=30), st.floats(0.01, 0.5))
def test_every_deadline_is_met_once_and_in_time(delays: list[float], step: float) -> None:
    wheel = Deadlines(100.0, TICK)
    items = [(100.0 + delay, Item()) for delay in delays]
    for when, item in items:
        wheel.put(item, when)
    sweep_until(wheel, 100.0, 106.0, step)
    for when, item in items:
        assert len(item.asked) == 1
        assert when - 1e-6 <= item.asked[0] <= when + TICK + step + 1e-6
    assert len(wheel) == 0


def test_putting_it_again_moves_it() -> None:
    wheel = Deadlines(10.0, TICK)
    item = Item()
    wheel.put(item, 10.5)
    wheel.put(item, 20.0)
    assert len(wheel) == 1
    sweep_until(wheel, 10.0, 15.0)
    assert item.asked == []


def test_a_dropped_item_is_not_asked_even_by_another_ones_turn() -> None:
    wheel = Deadlines(10.0, TICK)
    victim = Item()
    killers = [Item(lambda now: wheel.drop(victim) or 0.0) for _ in range(2)]
    wheel.put(killers[0], 10.5)
    wheel.put(victim, 10.5)
    wheel.put(killers[1], 10.5)
    sweep_until(wheel, 10.0, 12.0)
    assert victim.asked == []
    assert [len(killer.asked) for killer in killers] == [1, 1]
    wheel.drop(victim)  # once more changes nothing


def test_what_it_returns_is_the_next_deadline() -> None:
    wheel = Deadlines(10.0, TICK)
    item = Item(lambda now: now + 1.0 if now < 12.0 else 0.0)
    wheel.put(item, 10.2)
    sweep_until(wheel, 10.0, 20.0)
    assert len(item.asked) == 3
    assert item.bucket == NONE


def test_a_next_deadline_in_the_past_waits_a_tick_and_does_not_spin() -> None:
    wheel = Deadlines(10.0, TICK)
    item = Item(lambda now: 1.0)
    wheel.put(item, 10.05)
    assert not wheel.sweep(10.21, 100)
    assert len(item.asked) == 1
    assert not wheel.sweep(10.31, 100)
    assert len(item.asked) == 2


def test_an_item_that_sets_its_deadline_itself_keeps_it() -> None:
    wheel = Deadlines(10.0, TICK)

    def act(now: float) -> float:
        if len(item.asked) == 1:
            wheel.put(item, now + 1.0)
        return 0.0

    item = Item(act)
    wheel.put(item, 10.1)
    sweep_until(wheel, 10.0, 13.0)
    assert len(item.asked) == 2


def test_work_is_cut_into_slices() -> None:
    wheel = Deadlines(10.0, TICK)
    items = [Item() for _ in range(25)]
    for item in items:
        wheel.put(item, 10.1)
    assert wheel.sweep(11.0, 10)
    assert sum(len(item.asked) for item in items) == 10
    assert wheel.sweep(11.0, 10)
    assert not wheel.sweep(11.0, 10)
    assert all(len(item.asked) == 1 for item in items)
