"""Full collections wait for a quiet moment, and the process gets its collector back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from fastchat.transports.collector import DUE, QUIET, RARELY, Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    one = Collector()
    yield one
    one.release()
    gc.set_threshold(*found)
    gc.freeze()  # as tests/conftest.py did, for what was released


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Generations that were collected on purpose."""
    seen: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: seen.append(generation))
    return seen


def age(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(gc, "get_count", lambda: (1, 1, times))


def test_it_lets_full_collections_wait_and_gives_back_what_it_found(collector: Collector) -> None:
    collector.take()
    assert gc.get_threshold() == (700, 10, RARELY)
    assert gc.get_freeze_count() > 0
    collector.release()
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0
    gc.set_threshold(500, 5, 5)
    collector.release()
    assert gc.get_threshold() == (500, 5, 5)  # nothing of ours is left to give back


def frozen(thing: object) -> bool:
    return all(one is not thing for one in gc.get_objects())


def test_what_was_there_is_frozen_until_the_release_even_what_the_program_froze(collector: Collector) -> None:
    old: list[object] = []
    gc.freeze()
    new: list[object] = []
    collector.take()
    later: list[object] = []
    assert frozen(old) and frozen(new) and not frozen(later)
    collector.release()
    assert not frozen(old) and not frozen(new) and not frozen(later)


def test_it_collects_in_a_quiet_moment_when_it_is_due(
    collector: Collector, full: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.take()
    full.clear()
    collector.beat(10.0, 1.0)
    age(monkeypatch, DUE)
    collector.beat(10.1, 1.0 + 0.1 * QUIET * 0.9)
    assert full == [2]


@pytest.mark.parametrize("times, cpu", [(DUE, QUIET * 1.1), (DUE - 1, 0.0)], ids=["busy", "not due"])
def test_it_does_not_otherwise(
    collector: Collector, full: list[int], monkeypatch: pytest.MonkeyPatch, times: int, cpu: float
) -> None:
    collector.take()
    full.clear()
    collector.beat(10.0, 1.0)
    age(monkeypatch, times)
    collector.beat(11.0, 1.0 + cpu)
    assert full == []


def test_a_collector_that_was_not_taken_is_left_alone(
    collector: Collector, full: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    age(monkeypatch, DUE)
    collector.beat(10.0, 0.0)
    collector.beat(20.0, 0.0)
    assert full == []
