from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fastchat.client.backoff import BASE, CAP, STABLE, Backoff


@given(st.integers(0, 2**32), st.lists(st.integers(0, 60_000), min_size=1, max_size=40))
def test_never_before_what_the_server_asked_for_nor_longer_than_the_cap(seed: int, afters: list[int]) -> None:
    backoff = Backoff(random.Random(seed))
    for attempt, after_ms in enumerate(afters):
        jitter = backoff.next(after_ms) - after_ms / 1000
        assert -1e-9 <= jitter <= min(CAP, BASE * 2**attempt) + 1e-9


def test_the_jitter_is_full() -> None:
    delays = [Backoff(random.Random(seed)).next() for seed in range(2000)]
    assert min(delays) < BASE * 0.01 and max(delays) > BASE * 0.99
    assert abs(sum(delays) / len(delays) - BASE / 2) < BASE * 0.03


def test_a_negative_wait_is_none() -> None:
    assert Backoff(random.Random(1)).next(-5000) >= 0


def test_only_a_connection_that_lived_resets_the_count() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(5):
        backoff.next()
    backoff.lived(STABLE - 0.1)
    assert backoff.attempts == 5
    backoff.lived(STABLE)
    assert backoff.attempts == 0


def test_many_attempts_do_not_overflow() -> None:
    backoff = Backoff(random.Random(1))
    backoff.attempts = 100_000
    assert backoff.next() <= CAP
