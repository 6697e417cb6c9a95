"""Idempotency keys: remembered for their time, within their bytes."""

from __future__ import annotations

import pytest

from fastchat.engine.keys import KEY_BYTES, Keys
from fastchat.errors import ProtocolError


def remember(keys: Keys[int], owner: str, key: str, value: int, now: int) -> None:
    keys.check("room", owner, key, now)
    keys.put("room", owner, key, value, now)


def test_a_value_is_remembered_for_its_time() -> None:
    keys: Keys[int] = Keys(seconds=10, limit=10_000)
    remember(keys, "ada", "k", 7, now=1000)
    keys.expire(10_999)
    assert keys.get("room", "ada", "k") == 7
    keys.expire(11_000)
    assert keys.get("room", "ada", "k") is None
    assert (len(keys), keys.bytes) == (0, 0)


def test_the_bytes_never_exceed_the_limit() -> None:
    keys: Keys[int] = Keys(seconds=10, limit=10 * KEY_BYTES)
    with pytest.raises(ProtocolError) as caught:
        for number in range(100):
            remember(keys, f"user-{number}", "k", number, now=1000 + number)
            assert keys.bytes <= 10 * KEY_BYTES
    assert caught.value.retry_ms == 11_000 - 1000 - len(keys)
    remember(keys, "later", "k", 1, now=11_000)


def test_an_owner_has_a_share() -> None:
    keys: Keys[int] = Keys(seconds=10, limit=800 * KEY_BYTES)
    count = 0
    with pytest.raises(ProtocolError):
        for count in range(800):
            remember(keys, "hog", str(count), count, now=1000)
    assert 80 <= count <= 100
    remember(keys, "other", "k", 1, now=1000)
    keys.expire(11_000)
    remember(keys, "hog", "again", 1, now=11_000)


def test_expiry_is_done_in_portions() -> None:
    keys: Keys[int] = Keys(seconds=1, limit=10_000_000)
    for number in range(2500):
        remember(keys, f"user-{number}", "k", number, now=1000)
    keys.expire(5000)
    assert len(keys) == 1500
    keys.expire(5000, most=5000)
    assert len(keys) == 0
