"""Limits as arithmetic: what passes in any span of time, and the wait that is told to the rest."""

from __future__ import annotations

from random import Random

import pytest

from fastchat.hub.rates import FEW, Limit
from tests.hub.stage import START


def taking(limit: Limit, now: int, size: int = 0, user: str = "ada", origin: str = "") -> int:
    bucket = limit.used.get(user) or limit.open(user, origin, now)
    return limit.take(bucket, size, now)


def test_a_burst_passes_and_then_the_rate() -> None:
    limit = Limit(5.0, 10)
    assert [taking(limit, START) for _ in range(12)] == [0] * 10 + [200, 200]
    assert taking(limit, START + 199) == 1
    assert taking(limit, START + 200) == 0
    assert taking(limit, START + 250) == 150


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 3.0, 5.0, 7.7, 60.0, 999.0, 10_000.0])
def test_the_wait_is_exact(rate: float) -> None:
    """Whoever comes back when they were told to passes, and a millisecond earlier they do not."""
    burst = 3 if rate < 1000 else 100  # the clock ticks in ms
    limit, now = Limit(rate, burst), START
    passed = [taking(limit, now) for _ in range(burst + 1)].count(0)
    for _ in range(500):
        wait = taking(limit, now)
        if wait > 1:
            assert taking(limit, now + wait - 1) > 0
        now += wait
        assert wait == 0 or taking(limit, now) == 0
        passed += 1
    assert passed - burst == pytest.approx((now - START) / 1000 * rate, abs=max(2.0, rate / 1000 + 1))


@pytest.mark.parametrize("seed", range(5))
def test_no_span_of_time_lets_more_pass(seed: int) -> None:
    chance = Random(seed)
    rate, burst = chance.uniform(0.5, 50), chance.randint(1, 20)
    limit, now, passed = Limit(rate, burst), START, []
    for _ in range(2000):
        now += chance.choice((0, 0, 1, 5, 50, 400))
        if not taking(limit, now):
            passed.append(now)
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed), 5):
            assert last - first + 1 <= burst + rate * (passed[last] - passed[first]) / 1000 + 0.01


def test_bytes_are_limited_beside_the_count() -> None:
    limit = Limit(1000.0, 1000, 16_384, 32_768)
    assert taking(limit, START, 32_768) == 0
    assert taking(limit, START, 1) == 1
    assert taking(limit, START, 16_384) == 1000
    assert taking(limit, START + 500, 8_192) == 0
    assert taking(limit, START + 500, 100) > 0


def test_what_is_refused_uses_nothing_up() -> None:
    limit = Limit(5.0, 2, 1000, 2000)
    assert taking(limit, START, 2000) == 0
    for _ in range(100):
        assert taking(limit, START, 500) == 500
    assert taking(limit, START + 500, 500) == 0


def test_a_rate_of_0_is_no_limit() -> None:
    assert [taking(Limit(0.0, 10), START, 10**6) for _ in range(3)] == [0, 0, 0]
    limit = Limit(0.0, 10, 1000, 1000)
    assert [taking(limit, START) for _ in range(100)] == [0] * 100
    assert (taking(limit, START, 1000), taking(limit, START, 1)) == (0, 1)


def test_a_user_may_have_a_rate_of_their_own() -> None:
    limit = Limit(5.0, 10)
    bucket = limit.open("ada", "", START)
    assert [limit.take_at(bucket, 50.0, 2, 0, START) for _ in range(3)] == [0, 0, 20]
    other = limit.open("bob", "", START)
    assert [limit.take_at(other, 0.0, 1, 0, START) for _ in range(2)] == [0, 200]
    assert [limit.take_at(limit.open("eve", "", START), 1.0, 0, 0, START)] == [0]


def test_what_has_passed_already_makes_the_next_wait() -> None:
    limit = Limit(0.0, 0, 1000, 2000)
    bucket = limit.open("ada", "", START)
    limit.add(bucket, 5000, START)
    assert limit.take(bucket, 0, START) == 3000
    assert limit.take(bucket, 0, START + 3000) == 0


def test_full_buckets_are_forgotten() -> None:
    limit = Limit(5.0, 10)
    for number in range(FEW):
        taking(limit, START, user=f"u{number}")
    taking(limit, START + 100, user="late")
    assert len(limit) == FEW + 1, "none is full yet"
    for number in range(2 * FEW):
        taking(limit, START + 10_000 + number, user=f"v{number}")
    assert len(limit) <= FEW + 500
    limit.forget(START + 20_000)
    assert len(limit) == 0


def test_who_leaves_leaves_an_empty_bucket_behind() -> None:
    limit = Limit(5.0, 10)
    for _ in range(10):
        taking(limit, START, user="ada", origin="192.0.2.1")
    limit.leave("ada", "192.0.2.1", START)
    assert taking(limit, START, user="bob", origin="192.0.2.1") == 200
    assert taking(limit, START, user="eve", origin="192.0.2.2") == 0
    assert taking(limit, START, user="dan") == 0
    limit.leave("bob", "192.0.2.1", START)
    limit.leave("nobody", "192.0.2.1", START)
    limit.leave("dan", "192.0.2.1", START + 5000)
    assert taking(limit, START + 200, user="fay", origin="192.0.2.1") == 0
    limit.forget(START + 5000)
    assert len(limit) == 0
