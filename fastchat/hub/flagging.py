"""NOTICE "flag": the moderators in a room learn of a message that the word filter has doubts about.

Invariant: however much is flagged, a room's moderators are told MOST times a second at most, and looked for
among its members once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastchat.engine.base import Stored
from fastchat.hub.roles import EVERYWHERE, role_of
from fastchat.identity.base import Role
from fastchat.protocol.codec import notice
from fastchat.protocol.messages import Edit

if TYPE_CHECKING:
    from fastchat.hub.moderation import Moderation
    from fastchat.hub.publishing import Pending
    from fastchat.hub.room import Room
    from fastchat.hub.session import Session

MOST = 10  # flags a second that a room's moderators are told of
SECOND = 1000  # ms
MAX_QUOTE = 50  # characters of what was flagged

Deliver = Callable[[Any, Any, Stored], None]


class Flags:
    """What a room's moderators were told in this second."""

    __slots__ = ("missed", "_since", "_told", "_found", "_looked")

    def __init__(self) -> None:
        self.missed = 0  # that they were not told of
        self._since = 0
        self._told = 0
        self._found: Sequence[Session] = ()
        self._looked = -SECOND

    def may(self, now: int) -> bool:
        """Whether they may be told of one more."""
        if now >= self._since + SECOND:
            self._since, self._told = now, 0
        self._told += 1
        self.missed += self._told > MOST
        return self._told <= MOST

    def moderators(self, room: Room, moderation: Moderation, now: int) -> Iterator[Session]:
        """The moderators who are in the room; who has become one in this second may be missing."""
        if now >= self._looked + SECOND:
            self._looked = now
            self._found = _perhaps(room, moderation)
        for session in self._found:
            if room.name in session.rooms and role_of(session, room.name) >= Role.MODERATOR:
                yield session


def _perhaps(room: Room, moderation: Moderation) -> list[Session]:
    """List the sessions in a room that may be a moderator's; most are not, and soon looked at."""
    members = [session for member in room.presence.members.values() for session in member.user.sessions]
    places = (room.name, EVERYWHERE)
    given = [rules.ops for rules in map(moderation.of, places) if rules is not None]
    return [
        session
        for session in {*members, *(room.hidden or ())}  # some of a user's may be hidden, and some not
        if (identity := session.identity).role >= Role.MODERATOR
        or identity.roles
        or session.grants
        or any(identity.id in ops for ops in given)
    ]


def flagging(deliver: Deliver, flag: str) -> Deliver:
    """Deliver, then tell the moderators what was flagged; without a flag, only deliver."""
    if not flag:
        return deliver

    def both(ticket: Pending, room: Room, stored: Stored) -> None:
        deliver(ticket, room, stored)
        screen = room.screen
        if screen is None or stored.duplicate or not screen.flags.may(stored.ts):
            return
        offset = ticket.command.offset if type(ticket.command) is Edit else stored.offset
        user = ticket.session.user.packed
        payload = notice(room.packed, "flag", user, reason=flag[:MAX_QUOTE], offset=offset)
        for session in screen.flags.moderators(room, ticket.session.hub.moderation, stored.ts):
            session.outbox.put(payload)

    return both
