"""Tokens for single use: each `jti` counts once, until its token would have ended anyway.

Invariant: what was used once is known until it has expired, across restarts; where it cannot be remembered,
it does not count at all.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.limits import EXPIRE_MOST
from fastchat.identity.base import Identity
from fastchat.protocol.values import load, pack

KIND = "jti"  # facts: the subject is the jti, the value when it expires


class Once:
    """The tokens for single use that were used."""

    __slots__ = ("_facts", "_used", "_heap")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._used: dict[str, int] = {}
        for (_, jti), value in facts.of(KIND).items():
            expires = load(value)
            if isinstance(expires, int):  # else nobody knows what wrote it
                self._used[jti] = expires
        self._heap = [(expires, jti) for jti, expires in self._used.items()]
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._used)

    def use(self, identity: Identity) -> None:
        """Take the token of this identity as used, if it is for single use.

        Raises ProtocolError TOKEN_INVALID where it was used before, and where it cannot be remembered
        OVERLOADED or STORE_UNAVAILABLE.
        """
        jti = identity.once
        if not jti:
            return
        if jti in self._used:
            raise ProtocolError(Code.TOKEN_INVALID, "the token was for single use: it is used", field="token")
        # Not awaited: a server that dies before it is kept has lost the session that used it as well
        self._facts.put([Fact(KIND, "", jti, pack(identity.expires))])
        self._used[jti] = identity.expires
        heappush(self._heap, (identity.expires, jti))

    def expire(self, now: int) -> None:
        """Forget what has expired; what the store cannot forget now it forgets later."""
        due: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(due) < EXPIRE_MOST:
            due.append(heappop(self._heap)[1])
        if not due:
            return
        try:
            self._facts.put([Fact(KIND, "", jti, b"") for jti in due])
        except ProtocolError:
            for jti in due:
                heappush(self._heap, (self._used[jti], jti))
            return
        for jti in due:
            del self._used[jti]
