"""When the flush runs: at the end of an iteration, held back, for ticks, and on after it was cut short."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.meter import Meter
from fastchat.transports.flusher import Flusher


class Timer:
    def __init__(self, when: float, act: Callable[[], None]) -> None:
        self.when = when
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop in which time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ready: list[Callable[[], None]] = []
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, act: Callable[[], None]) -> None:
        self.ready.append(act)

    def call_later(self, delay: float, act: Callable[[], None]) -> Timer:
        assert delay >= 0.0
        self.timers.append(Timer(self.now + delay, act))
        return self.timers[-1]

    def turn(self) -> None:
        """One iteration: what was ready when it began, timers first."""
        due = [timer for timer in self.timers if timer.when <= self.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer.when > self.now and not timer.cancelled]
        ready, self.ready = self.ready, []
        for act in [timer.act for timer in due] + ready:
            act()


class Core:
    """Stands for the Broadcaster."""

    def __init__(self) -> None:
        self.waiting = False
        self.flushed: list[float] = []
        self.cuts = 0  # flushes that are still to be cut short
        self.due: float | None = None
        self.watched = 0
        self.fault: Exception | None = None
        self.messages = self.deliveries = self.sends = 0

    def flush(self, now: float) -> bool:
        self.flushed.append(now)
        if self.due is not None and self.due <= now:
            self.due = None
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        if self.cuts:
            self.cuts -= 1
            return True
        self.waiting = False
        return False

    def next_due(self, now: float) -> float | None:
        return self.due

    def watch(self) -> None:
        self.watched += 1


class Judge:
    """Stands for the HoldBack: waits until the time it is told."""

    def __init__(self) -> None:
        self.until = 0.0
        self.told: list[float] = []

    def wait(self, now: float, messages: int) -> float:
        return max(0.0, self.until - now)

    def flushed(self, now: float, seconds: float, messages: int, deliveries: int, sends: int) -> None:
        self.told.append(seconds)


class Gauge(Meter):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, float, float]] = []
        self.batches: list[int] = []

    def flushed(
        self, first: float, ended: float, seconds: float, messages: int, sends: int, deliveries: int
    ) -> None:
        self.told.append((first, ended, seconds))
        self.batches.append(messages)


def build(meter: Meter | None = None) -> tuple[Loop, Core, Judge, Flusher]:
    loop, core, judge = Loop(), Core(), Judge()
    made: Any = Flusher(loop, loop.time, judge, meter or Meter())  # type: ignore[arg-type]
    made.serve(core)
    return loop, core, judge, made


def test_any_number_of_wakes_is_one_flush_at_the_end_of_the_iteration() -> None:
    loop, core, _, flusher = build()
    for _ in range(3):
        core.waiting = True
        flusher.wake()
    assert core.flushed == []
    loop.turn()
    assert core.flushed == [100.0]
    loop.turn()
    assert core.flushed == [100.0]
    assert loop.timers == []


def test_it_holds_back_and_looks_again_when_more_is_put() -> None:
    loop, core, judge, flusher = build()
    judge.until = 100.002
    core.waiting = True
    flusher.wake()
    loop.turn()
    assert (core.flushed, core.watched) == ([], 1)
    loop.now = 100.001
    flusher.wake()  # the core calls again after watch()
    loop.turn()
    assert (core.flushed, core.watched) == ([], 2)
    assert len(loop.timers) == 1  # the one that runs already ends the wait in time
    judge.until = 0.0
    flusher.wake()
    loop.turn()
    assert core.flushed == [100.001]


def test_a_wait_in_which_nothing_comes_is_ended_by_its_timer() -> None:
    loop, core, judge, flusher = build()
    judge.until = 100.002
    core.waiting = True
    flusher.wake()
    loop.turn()
    loop.now = 100.002
    loop.turn()
    assert core.flushed == [100.002]


def test_a_timer_that_runs_early_waits_on() -> None:
    """Timers of uvloop tick in whole milliseconds."""
    loop, core, judge, flusher = build()
    judge.until = 100.0015
    core.waiting = True
    flusher.wake()
    loop.turn()
    loop.timers[0].when = 100.001
    loop.now = 100.001
    loop.turn()
    assert core.flushed == []
    loop.now = 100.0016
    loop.turn()
    assert core.flushed == [100.0016]


def test_a_flush_that_was_cut_short_goes_on_in_the_next_iteration_without_waiting() -> None:
    loop, core, judge, flusher = build()
    core.cuts = 2
    core.waiting = True
    flusher.wake()
    loop.turn()
    judge.until = 200.0
    for _ in range(3):
        loop.turn()
    assert len(core.flushed) == 3
    assert len(judge.told) == 1  # of the whole flush, not of its parts


def test_a_rooms_tick_is_met() -> None:
    loop, core, _, flusher = build()
    core.due = 100.05
    flusher.wake()
    loop.turn()
    assert len(core.flushed) == 1
    loop.now = 100.049
    loop.turn()
    assert len(core.flushed) == 1
    loop.now = 100.05
    loop.turn()
    assert core.flushed[1:] == [100.05]
    assert loop.timers == []


def test_an_earlier_time_replaces_a_later_timer() -> None:
    loop, core, _, flusher = build()
    core.due = 100.05
    flusher.wake()
    loop.turn()
    core.due = 100.01
    flusher.wake()
    loop.turn()
    loop.now = 100.01
    loop.turn()
    assert core.flushed[-1] == 100.01


def test_a_fault_is_logged_and_the_next_flush_comes(caplog: pytest.LogCaptureFixture) -> None:
    loop, core, _, flusher = build()
    core.waiting, core.fault = True, RuntimeError("sink")
    flusher.wake()
    with caplog.at_level(logging.ERROR):
        loop.turn()
    assert "failed for some connections" in caplog.text
    loop.turn()
    assert len(core.flushed) == 2 and not core.waiting


def test_after_stop_nothing_runs() -> None:
    loop, core, judge, flusher = build()
    judge.until = 100.002
    core.waiting = True
    flusher.wake()
    loop.turn()
    flusher.wake()
    flusher.stop()
    loop.now = 101.0
    loop.turn()
    assert core.flushed == []
    flusher.stop()


def test_the_meter_hears_when_the_first_put_was() -> None:
    meter = Gauge()
    loop, core, judge, flusher = build(meter)
    judge.until = 100.002
    core.waiting = True
    flusher.wake()
    loop.turn()
    loop.now = 100.001
    flusher.wake()
    loop.turn()
    assert (meter.told, flusher.age(100.0015)) == ([], pytest.approx(0.0015))
    loop.now = 100.002
    loop.turn()
    assert meter.told == [(100.0, 100.002, 0.0)]
    assert flusher.age(100.002) == 0.0


def test_what_is_put_while_a_flush_goes_on_belongs_to_the_next() -> None:
    meter = Gauge()
    loop, core, _, flusher = build(meter)
    core.cuts = 1
    core.waiting = True
    flusher.wake()
    core.messages = 7
    loop.turn()
    loop.now = 100.01
    core.messages = 9
    flusher.wake()  # put between the two parts
    assert flusher.age(100.01) == pytest.approx(0.01)  # of what is being flushed
    loop.turn()
    assert ([first for first, _, _ in meter.told], meter.batches) == ([100.0], [7])
    assert flusher.age(100.015) == pytest.approx(0.005)
    core.waiting = True
    flusher.wake()
    loop.turn()
    assert ([first for first, _, _ in meter.told], meter.batches) == ([100.0, 100.01], [7, 9])


def test_the_clock_is_asked_once_for_a_batch() -> None:
    loop, core, _, flusher = build()
    asked: list[float] = []

    def time() -> float:
        asked.append(loop.now)
        return loop.now

    flusher._time = time
    for _ in range(100):
        core.waiting = True
        flusher.wake()
    assert len(asked) == 1
