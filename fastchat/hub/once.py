"""Tokens for single use: each `jti` counts once, until its token would have ended anyway.

Invariant: what was used once is known until it has expired, across restarts; where it cannot be remembered,
it does not count at all.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.insisting import Insistence
from fastchat.hub.limits import EXPIRE_MOST, RETRY_MS
from fastchat.identity.base import Identity
from fastchat.protocol.values import load, pack

KIND = "jti"  # facts: the subject is the jti, the value when it expires


class Once:
    """The tokens for single use that were used."""

    __slots__ = ("_facts", "_kept", "_used", "_heap")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._kept = Insistence(facts, KIND, self._value)
        self._used: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self.load()

    def load(self) -> None:
        """Take what is kept; called again where that is known only later."""
        for (_, jti), value in self._facts.of(KIND).items():
            expires = load(value)
            if isinstance(expires, int):  # else nobody knows what wrote it
                self._used[jti] = expires
        self._heap = [(expires, jti) for jti, expires in self._used.items()]
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._used)

    def check(self, identity: Identity) -> None:
        """Raise ProtocolError TOKEN_INVALID where the token was used before, STORE_UNAVAILABLE where nobody
        can know that yet.
        """
        if identity.once and not self._facts.known:
            text = "which tokens are used is not known now"
            raise ProtocolError(Code.STORE_UNAVAILABLE, text, retry_ms=RETRY_MS)
        if identity.once and identity.once in self._used:
            raise ProtocolError(Code.TOKEN_INVALID, "the token was for single use: it is used", field="token")

    def use(self, identity: Identity) -> None:
        """Take the token of this identity as used, if it is for single use.

        Raises ProtocolError TOKEN_INVALID where it was used before, and where it cannot be remembered
        OVERLOADED or STORE_UNAVAILABLE.
        """
        jti = identity.once
        if not jti:
            return
        self.check(identity)
        if self._kept:  # others were used already that the store has lost so far
            raise ProtocolError(Code.STORE_UNAVAILABLE, "what is used cannot be remembered now")
        # Not awaited: a server that dies before it is kept has lost the session that used it as well
        self._kept.put([Fact(KIND, "", jti, pack(identity.expires))])
        self._used[jti] = identity.expires
        heappush(self._heap, (identity.expires, jti))

    def expire(self, now: int) -> None:
        """Forget what has expired, and keep what is not kept; what the store cannot do now it does later."""
        self._kept.tick(now)
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(due) < EXPIRE_MOST:
            due.append(heappop(self._heap)[1])
        if not due:
            return
        try:
            self._kept.put([Fact(KIND, "", jti, b"") for jti in due])
        except ProtocolError:
            for jti in due:
                heappush(self._heap, (self._used[jti], jti))
            return
        for jti in due:
            del self._used[jti]

    def _value(self, jti: str) -> bytes:
        expires = self._used.get(jti)
        return b"" if expires is None else pack(expires)
