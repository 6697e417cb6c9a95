"""Idempotency keys: remembered for their time, within their bytes."""

from __future__ import annotations

import tracemalloc

import pytest

from fastchat.config import Config
from fastchat.engine.keys import KEY_BYTES, OWNER_BYTES, RETRY_MS, SHARE, Keys, digest
from fastchat.errors import ProtocolError


def remember(keys: Keys, owner: str, key: str, number: int, now: int) -> None:
    keys.check(owner, now)
    keys.put(digest("room", owner, key), owner, number, now)


def test_a_number_is_remembered_for_its_time() -> None:
    keys = Keys(seconds=10, limit=10_000)
    remember(keys, "ada", "k", 7, now=1000)
    keys.expire(10_999)
    assert keys.get(digest("room", "ada", "k")) == (1000, 7)
    keys.expire(11_000)
    assert keys.get(digest("room", "ada", "k")) is None
    assert (len(keys), keys.charged) == (0, 0)


def test_the_bytes_never_exceed_the_limit() -> None:
    limit = 10 * (KEY_BYTES + OWNER_BYTES)
    keys = Keys(seconds=10, limit=limit)
    with pytest.raises(ProtocolError) as caught:
        for number in range(100):
            remember(keys, f"user-{number}", "k", number, now=1000 + number)
            assert keys.charged <= limit
    assert len(keys) == 10
    assert caught.value.retry_ms == 11_000 - 1000 - len(keys)
    remember(keys, "later", "k", 1, now=11_000)


def test_the_time_to_wait_is_neither_nothing_nor_an_age() -> None:
    keys = Keys(seconds=300, limit=KEY_BYTES + OWNER_BYTES)
    remember(keys, "ada", "k", 1, now=0)
    for now, told in ((0, RETRY_MS[1]), (299_999, RETRY_MS[0])):
        with pytest.raises(ProtocolError) as caught:
            keys.check("bob", now)
        assert caught.value.retry_ms == told


def test_an_owner_has_a_share() -> None:
    keys = Keys(seconds=10, limit=800 * KEY_BYTES)
    count = 0
    with pytest.raises(ProtocolError):
        for count in range(800):
            remember(keys, "hog", str(count), count, now=1000)
    assert count == 600
    remember(keys, "other", "k", 1, now=1000)
    keys.expire(11_000)
    remember(keys, "hog", "again", 1, now=11_000)


def test_expiry_is_done_in_portions() -> None:
    keys = Keys(seconds=1, limit=10_000_000)
    for number in range(2500):
        remember(keys, f"user-{number}", "k", number, now=1000)
    keys.expire(5000)
    assert len(keys) == 1500
    keys.expire(5000, most=5000)
    assert (len(keys), keys.charged) == (0, 0)


def test_what_was_put_last_can_be_undone() -> None:
    keys = Keys(seconds=10, limit=100_000)
    for number in range(10):
        remember(keys, "ada" if number < 5 else "bob", str(number), number, now=1000)
    keys.undo(6)
    assert (len(keys), keys.charged) == (4, 4 * KEY_BYTES + OWNER_BYTES)
    assert keys.get(digest("room", "ada", "3")) == (1000, 3)
    assert keys.get(digest("room", "ada", "4")) is None


def test_no_two_keys_are_alike() -> None:
    names = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("a", "b", "\ud800"), ("1,", "b", "c")]
    assert len({digest(*name) for name in names}) == len(names)


def test_by_default_a_game_server_may_send_2000_keys_a_second() -> None:
    """As many as one user may send with the limits of publishing off, with room left for others."""
    config = Config()
    wanted = 2000 * config.idempotency_seconds
    share = config.idempotency_bytes * SHARE[0] // SHARE[1]
    assert wanted * KEY_BYTES <= share
    assert (config.idempotency_bytes - share) // (KEY_BYTES + OWNER_BYTES) > 50_000, "for others"


def test_a_key_costs_what_is_charged() -> None:
    count = 20_000
    owners = [f"user-{number}" for number in range(10)]
    tracemalloc.start()
    try:
        keys = Keys(seconds=300, limit=1 << 30)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            remember(keys, owners[number % 10], f"{number:024}", 1_000 + number, now=10**12 + number)
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * keys.charged < after - before < keys.charged
    assert most - before < keys.charged
