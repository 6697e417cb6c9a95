"""Idempotency keys: what was answered to a key is remembered for a time.

Invariant: the bytes charged for what is remembered never exceed the limit, nor one owner's part its share,
so no single user can use up the others' room.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

from fastchat.errors import Code, ProtocolError

# Bytes charged per key, whatever its length: a digest (64), a tuple (64), two integers (64), its place in the
# queue (8) and in the table (30 to 70, and as much again for a moment when the table grows).
KEY_BYTES = 288
OWNER_BYTES = 512  # bytes charged per owner of any: the name, two entries of tables, a count
TABLES = 256  # one per first byte of a digest
DIGEST = 16  # bytes: nobody finds two keys that are alike, and it would be their own two
SHARE = 3, 4  # of the limit, for one owner: a game server may send nearly all there is, but not all
RETRY_MS = 1000, 30_000  # told at least, so that nobody hammers, and at most, however long keys live


class Keys:
    """Remembers when a key was put and with which number, `seconds` long, within `limit` bytes.

    A key goes by its `digest`.
    """

    __slots__ = ("_tables", "_queue", "_shares", "_names", "_life", "_limit", "_share")

    def __init__(self, seconds: int, limit: int) -> None:
        # Plain tuples of what is no container: the cyclic collector lets go of them at first sight. Many
        # small tables: a large one takes 30 ms to grow.
        self._tables: list[dict[bytes, tuple[int, int, str]]] = [{} for _ in range(TABLES)]
        self._queue: deque[bytes] = deque()  # one lifetime for all, so the oldest is due first
        self._shares: dict[str, int] = {}  # owner: keys
        self._names: dict[str, str] = {}  # one string per owner, however often it came
        self._life = seconds * 1000
        self._limit = limit
        self._share = max(limit * SHARE[0] // (SHARE[1] * KEY_BYTES), 4)  # keys

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def charged(self) -> int:
        """How many bytes what is remembered counts."""
        return len(self._queue) * KEY_BYTES + len(self._shares) * OWNER_BYTES

    def get(self, name: bytes) -> tuple[int, int] | None:
        """Return when this key was put, and the number put under it; or None."""
        entry = self._tables[name[0]].get(name)
        return entry and entry[:2]

    def check(self, owner: str, now: int) -> None:
        """Raise ProtocolError (OVERLOADED) if a new key would go over the limit or its owner's share."""
        self.expire(now)
        mine = self._shares.get(owner, 0)
        charge = KEY_BYTES if mine else KEY_BYTES + OWNER_BYTES
        if self.charged + charge <= self._limit and mine < self._share:
            return
        wait = self._oldest() + self._life - now if self._queue else self._life
        retry = min(max(wait, RETRY_MS[0]), RETRY_MS[1])
        raise ProtocolError(Code.OVERLOADED, "too many keys are remembered", retry_ms=retry)

    def put(self, name: bytes, owner: str, number: int, now: int) -> None:
        """Remember a number under a key whose owner `check` has just let pass and that is not yet known."""
        owner = self._names.setdefault(owner, owner)
        self._tables[name[0]][name] = (now, number, owner)
        self._queue.append(name)
        self._shares[owner] = self._shares.get(owner, 0) + 1

    def expire(self, now: int, most: int = 1000) -> None:
        """Forget up to `most` keys whose time is over."""
        while self._queue and most and self._oldest() <= now - self._life:
            self._forget(self._queue.popleft())
            most -= 1

    def undo(self, count: int) -> None:
        """Forget the `count` keys put last: what they stood for was not stored after all."""
        for _ in range(count):
            self._forget(self._queue.pop())

    def _oldest(self) -> int:
        name = self._queue[0]
        return self._tables[name[0]][name][0]

    def _forget(self, name: bytes) -> None:
        owner = self._tables[name[0]].pop(name)[2]
        rest = self._shares[owner] - 1
        if rest:
            self._shares[owner] = rest
        else:
            del self._shares[owner], self._names[owner]


def digest(scope: str, owner: str, key: str) -> bytes:
    """Return what stands for a key of an owner in a scope."""
    text = f"{len(scope)},{len(owner)},{scope}{owner}{key}"  # with the lengths no two are alike
    return blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST, usedforsecurity=False).digest()
