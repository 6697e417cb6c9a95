"""Resume secrets: who shows one takes over the name of the session it was given to.

CONNECT's result brings a new secret in place of the one that was shown, and may be lost with the line: then
the client knows only the old one, and its name is borne by a session whose secret nobody ever saw. So a
session also goes by the secret that brought it here, its `former`, until it gets a frame: a client that waits
for the result, as it should, has the new one by then; for one in a hurry the old one is gone at once.

Invariant: a secret itself is never kept, only its digest; a session has its own and at most one former one;
and at most MAX_RESUMES secrets of ended sessions are remembered, RESUME_MS each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from fastchat.hub.limits import EXPIRE_MOST, MAX_RESUMES, RESUME_MS
from fastchat.hub.roles import Grant
from fastchat.identity.base import Identity

if TYPE_CHECKING:
    from random import Random

    from fastchat.hub.session import Session

SECRET_BITS = 128  # nobody guesses one of 2^128


class Ended(NamedTuple):
    """What is remembered of a session that has ended."""

    name: str
    blocks: frozenset[str]
    due: int  # server time, ms
    identity: Identity
    grants: Mapping[str, Grant] | None
    secrets: tuple[bytes, ...]  # digests of those that lead here: the first to be used is the last


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

    def issue(self, session: Session, shown: str | None = None) -> str:
        """Make a secret for the session; it keeps the digest, and that of the one it took a name with."""
        secret = f"{self._random.getrandbits(SECRET_BITS):032x}"
        session.secret = digest(secret)
        self._living[session.secret] = session
        if shown is not None:
            session.former = digest(shown)
            self._living[session.former] = session
        return secret

    def living(self, secret: str, comer: Session) -> Session | None:
        """Return the living session that `comer` may take over with this secret."""
        key = digest(secret)
        session = self._living.get(key)
        if session is None or key != session.former:
            return session
        # A CONNECT that was long under way on a line its client gave up must not cut off the line after it
        return session if comer.peer.accepted >= session.peer.accepted else None

    def heard(self, session: Session) -> None:
        """The session's client has the new secret: from now on the former one is nobody's."""
        self._living.pop(session.former, None)
        session.former = b""

    def ended(self, secret: str, now: int) -> Ended | None:
        """Return what is remembered of the ended session that was given this secret."""
        ended = self._ended.get(digest(secret))
        return None if ended is None or ended.due <= now else ended

    def forget(self, secret: str) -> None:
        """Let what leads to an ended session count no more: this secret was used."""
        ended = self._ended.get(digest(secret))
        if ended is not None:
            for key in ended.secrets:
                self._ended.pop(key, None)

    def revoke(self, session: Session) -> None:
        """Forget what leads to a session whose name was taken over."""
        self._living.pop(session.secret, None)
        self._living.pop(session.former, None)

    def end(self, session: Session, now: int) -> None:
        """Remember a session that ends for RESUME_MS, unless its secret was revoked."""
        if session.secret not in self._living:
            return
        self.revoke(session)
        secrets = (session.secret, session.former) if session.former else (session.secret,)
        user = session.user
        ended = Ended(user.name, user.blocks, now + RESUME_MS, session.identity, session.grants, secrets)
        for key in secrets:  # nobody can tell which of them the client knows
            if len(self._ended) >= MAX_RESUMES:
                self._ended.popitem(last=False)
            self._ended[key] = ended

    def expire(self, now: int) -> None:
        """Forget ended sessions whose time is over."""
        for _ in range(EXPIRE_MOST):
            oldest = next(iter(self._ended), None)
            if oldest is None or self._ended[oldest].due > now:
                return
            self._ended.popitem(last=False)
