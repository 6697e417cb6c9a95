"""MARK: how far a user has read a room.

Marks come with every screen of messages that anybody looks at, and one lost costs nobody a message. So they
count at once, but go to the engine together, about once a second.

Invariant: a mark only moves forward within an epoch and is never beyond the newest offset; at most MAX_MARKS
are kept, the longest unmoved give way.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Any

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.limits import EXPIRE_MOST, MARK_MS, MAX_MARKS
from fastchat.protocol.codec import notice, pack, result, unpack
from fastchat.protocol.messages import Mark

if TYPE_CHECKING:
    from fastchat.hub.room import Room
    from fastchat.hub.session import Session

KIND = "mark"


class Marks:
    """The read marks of all users, by room and `User.id`; the values are packed [epoch, offset]."""

    __slots__ = ("_facts", "_moved", "_sent", "_due")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._moved: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # not kept yet, the last moved last
        self._sent: list[Fact] = []  # those of them that are on their way
        self._due = 0

    def get(self, room: Room, user: str) -> int:
        """Return up to which offset of the room's present epoch a user has read."""
        value = self._moved.get((room.name, user)) or self._facts.get(KIND, room.name, user)
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
        self._moved[room.name, user] = pack([room.epoch, offset])
        self._moved.move_to_end((room.name, user))
        if len(self._moved) > MAX_MARKS:
            self._moved.popitem(last=False)
        return offset

    def flush(self, now: int, last: bool = False) -> None:
        """Give the engine what has moved, if it is time (or the `last` time) and the last lot is kept."""
        if not self._moved or self._sent or (now < self._due and not last):
            return
        self._due = now + MARK_MS
        most = None if last else EXPIRE_MOST
        moved = [Fact(KIND, *key, value) for key, value in islice(self._moved.items(), most)]
        self._sent = moved
        try:
            self._facts.put([*self._oldest(moved), *moved], (), self._done)
        except ProtocolError as refusal:
            self._done(refusal)

    def _oldest(self, moved: list[Fact]) -> list[Fact]:
        """Forget as many of the longest unmoved as are too many with these."""
        kept = self._facts.of(KIND)
        coming = {(room, user) for _, room, user, _ in moved}
        over = len(kept) + len(coming - kept.keys()) - MAX_MARKS
        if over <= 0:
            return []
        return [Fact(KIND, *key, b"") for key in islice((key for key in kept if key not in coming), over)]

    def _done(self, refusal: ProtocolError | None) -> None:
        """Let go of what is kept; what is not is tried again."""
        sent, self._sent = self._sent, []
        for _, room, user, value in sent if refusal is None else ():
            if self._moved.get((room, user)) == value:
                del self._moved[room, user]


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
