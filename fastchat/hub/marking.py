"""MARK: how far a user has read a room.

Marks come with every screen of messages that anybody looks at, and one lost costs nobody a message. So they
count at once, but go to the engine together, about once a second.

Invariant: a mark only moves forward within an epoch and is never beyond the newest offset; at most MAX_MARKS
are kept, the longest unmoved give way. Those of guests, who are others tomorrow, are not kept and take
nobody's place but each other's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.limits import MARK_MS, MAX_GUEST_MARKS, MAX_MARKS
from fastchat.hub.lots import Lots
from fastchat.identity.base import GUEST_ID
from fastchat.protocol.codec import notice, pack, result, unpack
from fastchat.protocol.messages import Mark

if TYPE_CHECKING:
    from fastchat.hub.room import Room
    from fastchat.hub.session import Session


class Marks:
    """The read marks of all users, by room and `User.id`; the values are packed [epoch, offset]."""

    __slots__ = ("guests", "_lots")

    def __init__(self, facts: Facts) -> None:
        self.guests: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # the longest unmoved first
        self._lots = Lots(facts, "mark", MAX_MARKS, MARK_MS)

    def get(self, room: Room, user: str) -> int:
        """Return up to which offset of the room's present epoch a user has read."""
        guest = user.startswith(GUEST_ID)
        value = self.guests.get((room.name, user)) if guest else self._lots.get(room.name, user)
        if value is None:
            return 0
        mark: Any = unpack(value)  # packed by `move`
        epoch, offset = mark
        return offset if epoch == room.epoch else 0

    def move(self, room: Room, user: str, offset: int) -> int:
        """Move a mark to this offset, if that is forward; returns where it stands."""
        offset = min(offset, room.newest)
        known = self.get(room, user)
        if known >= offset:
            return known
        value = pack([room.epoch, offset])
        if not user.startswith(GUEST_ID):
            self._lots.put(room.name, user, value)
            return offset
        self.guests[room.name, user] = value
        self.guests.move_to_end((room.name, user))
        if len(self.guests) > MAX_GUEST_MARKS:
            self.guests.popitem(last=False)
        return offset

    def flush(self, now: int, last: bool = False) -> None:
        """Give the engine what has moved, if it is time (or the `last` time)."""
        self._lots.flush(now, last)


def mark(session: Session, command: Mark, now: int) -> None:
    """Answer MARK (PROTOCOL, "Commands"), and tell the user's other sessions in the room."""
    room = session.rooms.get(command.room)
    if room is None:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    user, marks = session.user, session.hub.marks
    before = marks.get(room, user.id)
    offset = marks.move(room, user.id, command.offset)
    if offset != before:
        payload = notice(room.packed, "read", user.packed, offset=offset)
        for one in user.sessions:
            if one is not session and room.name in one.rooms:
                one.outbox.put(payload)
    if command.id:
        session.outbox.put(result(command.id, {"offset": offset}))
