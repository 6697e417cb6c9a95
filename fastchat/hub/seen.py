"""Who is online, and when those with a token were here last.

Invariant: whoever is hidden, in every session, is neither online nor has been here.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, NamedTuple

from fastchat.hub.facts import Facts
from fastchat.hub.limits import MAX_LISTED, MAX_SEEN, SEEN_MS
from fastchat.hub.lots import Lots
from fastchat.hub.users import User, Users
from fastchat.identity.base import TOKEN_ID
from fastchat.protocol.codec import pack, unpack
from fastchat.protocol.names import fold, user_name

if TYPE_CHECKING:
    from fastchat.hub.session import Session

KIND = "seen"


class LastSeen(NamedTuple):
    """When somebody was here last."""

    name: str  # as it was then
    ts: int  # server time, ms


class Online(NamedTuple):
    """Somebody who is here."""

    name: str
    sessions: int


class Seen:
    """When users with a token were here last, by `User.key`; the values are packed [name, ts]."""

    __slots__ = ("_users", "_lots")

    def __init__(self, facts: Facts, users: Users) -> None:
        self._users = users
        self._lots = Lots(facts, KIND, MAX_SEEN, SEEN_MS)

    def left(self, session: Session, now: int) -> None:
        """Note that a session has ended, the user's last one if it counts."""
        user = session.user
        if user.id.startswith(TOKEN_ID) and not session.identity.hidden and not _shown(user):
            self._lots.put("", user.key, pack([user.name, now]))

    def flush(self, now: int, last: bool = False) -> None:
        """Give the engine what is new, if it is time (or the `last` time)."""
        self._lots.flush(now, last)

    def last(self, name: str, now: int) -> LastSeen | None:
        """Tell when the user of this name was here last, now if online; None if that is not known.

        Raises ProtocolError BAD_ARGUMENT for what is no name.
        """
        key = fold(user_name(name))
        user = self._users.get(key)
        if user is not None and _shown(user):
            return LastSeen(user.name, now)
        value = self._lots.get("", key)
        if value is None:
            return None
        kept: Any = unpack(value)  # packed by `left`
        return LastSeen(*kept)


def online(users: Iterable[User], after: str, limit: int) -> list[Online]:
    """List who is here by their keys, from behind the key `after`, at most `limit` of them."""
    here = (user for user in users if user.key > after and _shown(user))
    page = nsmallest(min(limit, MAX_LISTED), here, key=lambda user: user.key)
    return [Online(user.name, _shown(user)) for user in page]


def _shown(user: User) -> int:
    """How many sessions others may know of."""
    return sum(one.connected and not one.identity.hidden for one in user.sessions)
