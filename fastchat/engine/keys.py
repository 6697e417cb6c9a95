"""Idempotency keys: what was answered to a key is remembered for a time.

Invariant: the bytes charged for what is remembered never exceed the limit, nor one owner's part its share,
so nobody can use up the others' room.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, TypeVar

from fastchat.errors import Code, ProtocolError

V = TypeVar("V")

KEY_BYTES = 480  # bytes charged per key besides its text: tuple, two table entries, queue entry, value
SHARES = 8  # one owner may hold this part of the limit


class _Due(NamedTuple):
    at: int
    name: tuple[str, str, str]
    charge: int


class Keys(Generic[V]):
    """Remembers a value by (scope, owner, key) for `seconds` after it was put, within `limit` bytes."""

    __slots__ = ("bytes", "_values", "_queue", "_shares", "_life", "_limit", "_share")

    def __init__(self, seconds: int, limit: int) -> None:
        self.bytes = 0
        self._values: dict[tuple[str, str, str], V] = {}
        self._queue: deque[_Due] = deque()  # one lifetime for all, so the oldest is due first
        self._shares: dict[str, int] = {}
        self._life = seconds * 1000
        self._limit = limit
        self._share = max(limit // SHARES, min(limit, 4 * KEY_BYTES))

    def __len__(self) -> int:
        return len(self._values)

    def get(self, scope: str, owner: str, key: str) -> V | None:
        """Return what was put under this key, or None."""
        return self._values.get((scope, owner, key))

    def check(self, scope: str, owner: str, key: str, now: int) -> None:
        """Raise ProtocolError (OVERLOADED) if a new key would go over the limit or its owner's share."""
        charge = KEY_BYTES + len(scope) + len(owner) + len(key)
        self.expire(now)
        mine = self._shares.get(owner, 0) + charge
        if self.bytes + charge <= self._limit and mine <= self._share:
            return
        wait = self._queue[0].at - now if self._queue else self._life
        raise ProtocolError(Code.OVERLOADED, "too many keys are remembered", retry_ms=max(wait, 1))

    def put(self, scope: str, owner: str, key: str, value: V, now: int) -> None:
        """Remember a value under a key that `check` has just let pass and that is not yet known."""
        name = (scope, owner, key)
        charge = KEY_BYTES + len(scope) + len(owner) + len(key)
        self._values[name] = value
        self._queue.append(_Due(now + self._life, name, charge))
        self._shares[owner] = self._shares.get(owner, 0) + charge
        self.bytes += charge

    def expire(self, now: int, most: int = 1000) -> None:
        """Forget up to `most` keys whose time is over."""
        queue = self._queue
        while queue and most and queue[0].at <= now:
            self._forget(queue.popleft())
            most -= 1

    def undo(self, count: int) -> None:
        """Forget the `count` keys put last: what they stood for was not stored after all."""
        for _ in range(count):
            self._forget(self._queue.pop())

    def _forget(self, due: _Due) -> None:
        _, name, charge = due
        del self._values[name]
        self.bytes -= charge
        rest = self._shares[name[1]] - charge
        if rest:
            self._shares[name[1]] = rest
        else:
            del self._shares[name[1]]
