"""Guests who are muted or slow and come back as somebody else: for a while that goes on.

Invariant: it goes on only for who comes from the same address within KEEP_MS, and only as long as it counts
for the name that left; nothing of it is kept. It does not where many have one address (`Peer.shared`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.hub.addresses import network_of
from fastchat.hub.limits import RESUME_MS
from fastchat.hub.users import User
from fastchat.identity.base import GUEST_ID

if TYPE_CHECKING:
    from fastchat.hub.session import Session

KEEP_MS = RESUME_MS  # ms a name is remembered after it left: as long as it could be taken up again
MAX_ORIGINS = 10_000  # addresses: about 500 bytes each
MAX_NAMES = 8  # of one address; the latest stay


def noted(user: User) -> None:
    """Take note that something counts for the name of this user that should count on."""
    if user.formers is None:
        user.formers = ()


class Formers:
    """The names of guests who left while they were muted or slow, by the address they were at."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: dict[str, dict[str, int]] = {}  # keys of names and when they are forgotten, oldest first

    def gone(self, session: Session, now: int) -> None:
        """The last session of a user has ended."""
        origin = _origin(session)
        if session.user.formers is None or not origin:
            return
        while self._left:
            oldest = next(iter(self._left))
            if len(self._left) < MAX_ORIGINS and max(self._left[oldest].values()) > now:
                break
            del self._left[oldest]
        names = self._left.pop(origin, {})
        names.pop(session.user.key, None)
        names[session.user.key] = now + KEEP_MS
        while len(names) > MAX_NAMES:
            del names[next(iter(names))]
        self._left[origin] = names

    def come(self, session: Session, now: int) -> None:
        """Somebody bears a name now, who may be the one that left."""
        names = self._left.get(_origin(session)) if self._left else None
        if names:
            key = session.user.key
            found = tuple(name for name, until in names.items() if until > now and name != key)
            session.user.formers = found or session.user.formers


def _origin(session: Session) -> str:
    """Where a guest comes from; "" where that says nothing of who it is."""
    if session.peer.shared or not session.identity.id.startswith(GUEST_ID):
        return ""
    return network_of(session.peer.address)
