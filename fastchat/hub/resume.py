"""Resume secrets: who shows one takes over the name of the session it was given to.

Invariant: a secret itself is never kept, only its digest; and at most MAX_RESUMES ended sessions are
remembered, RESUME_MS each.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from fastchat.hub.limits import EXPIRE_MOST, MAX_RESUMES, RESUME_MS

if TYPE_CHECKING:
    from random import Random

    from fastchat.hub.session import Session

SECRET_BITS = 128  # nobody guesses one of 2^128


class Ended(NamedTuple):
    """What is remembered of a session that has ended."""

    name: str
    blocks: frozenset[str]
    due: int  # server time, ms


def digest(secret: str) -> bytes:
    """Return what is kept of a secret: 16 bytes of its SHA-256; the table look-up leaks nothing of use."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()[:16]


class Resumes:
    """The secrets of the sessions that live, and for a while of those that ended."""

    __slots__ = ("_random", "_living", "_ended")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._living: dict[bytes, Session] = {}
        self._ended: OrderedDict[bytes, Ended] = OrderedDict()  # the first to end is the first due

    def __len__(self) -> int:
        return len(self._ended)

    def issue(self, session: Session) -> str:
        """Make a secret for the session; it keeps the digest."""
        secret = f"{self._random.getrandbits(SECRET_BITS):032x}"
        session.secret = digest(secret)
        self._living[session.secret] = session
        return secret

    def living(self, secret: str) -> Session | None:
        """Return the living session that was given this secret."""
        return self._living.get(digest(secret))

    def ended(self, secret: str, now: int) -> Ended | None:
        """Return what is remembered of the ended session that was given this secret."""
        ended = self._ended.get(digest(secret))
        return None if ended is None or ended.due <= now else ended

    def forget(self, secret: str) -> None:
        """Let the secret of an ended session count no more: it was used."""
        self._ended.pop(digest(secret), None)

    def revoke(self, session: Session) -> None:
        """Forget the secret of a session whose name was taken over."""
        self._living.pop(session.secret, None)

    def end(self, session: Session, now: int) -> None:
        """Remember a session that ends for RESUME_MS, unless its secret was revoked."""
        if self._living.pop(session.secret, None) is None:
            return
        if len(self._ended) >= MAX_RESUMES:
            self._ended.popitem(last=False)
        self._ended[session.secret] = Ended(session.user.name, session.user.blocks, now + RESUME_MS)

    def expire(self, now: int) -> None:
        """Forget ended sessions whose time is over."""
        for _ in range(EXPIRE_MOST):
            oldest = next(iter(self._ended), None)
            if oldest is None or self._ended[oldest].due > now:
                return
            self._ended.popitem(last=False)
