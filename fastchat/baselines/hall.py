"""The rooms and names of a baseline server, for threads and for a loop alike: locks are injected.

Invariant: whoever is in a room gets, from its JOIN on, every message in the order of the offsets. A room's
`order` is held while a message goes out to all; its `lock`, the hall's and a member's are held briefly.
They are taken in this order: order, member, hall, room.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeAlias

from fastchat.config import Config
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import Limits, message, pack
from fastchat.protocol.framing import tcp_frame
from fastchat.protocol.names import fold

Lock: TypeAlias = AbstractContextManager[Any]


class Member(Protocol):
    """A connection as the rooms see it."""

    @property
    def lock(self) -> Lock:
        """Whoever holds it is the only one who writes; it is not taken twice by one thread."""

    def send(self, frames: bytes, patient: bool = True) -> bool:
        """Take the lock and write. False: the peer does not read, and was dropped.

        `patient`: wait for a peer whose buffers are full, for as long as the server allows.
        """

    def write(self, frames: bytes) -> None:
        """As `send`, by who holds the lock."""


class Place(NamedTuple):
    """Where a room stands at the moment of a JOIN."""

    room: Room
    offset: int
    members: int


class Room:
    """The members of one room and its last offset."""

    __slots__ = ("name", "packed", "epoch", "offset", "members", "order", "lock")

    def __init__(self, name: str, epoch: str, lock: Callable[[], Lock]) -> None:
        self.name = name
        self.packed = pack(name)
        self.epoch = epoch
        self.offset = 0
        self.members: dict[Member, None] = {}  # in the order in which they came
        self.order = lock()
        self.lock = lock()

    def publish(
        self,
        author: Member,
        user: bytes,
        data: bytes,
        opts: bytes,
        now: int,
        stored: bool = True,
        aside: Callable[[int], bytes] | None = None,
    ) -> int:
        """Send a message to every member, encoded once, and tell its offset (0 when not `stored`).

        `user`, `data` and `opts` are msgpack. With `aside` the author gets what it makes of the offset
        instead of the message. Once a member was waited for in vain, the others have had as long to read:
        nobody else is waited for.
        """
        with self.order:
            with self.lock:
                self.offset += stored
                offset = self.offset if stored else 0
                members = list(self.members)
            frame = tcp_frame(message(self.packed, offset, now, user, data, opts))
            if aside is not None:
                author.send(aside(offset))
                members = [member for member in members if member is not author]
            patient = True
            for member in members:
                if not member.send(frame, patient):
                    patient = False
        return offset


class Hall:
    """What the connections of one server share. `lock` makes a lock, or what does nothing on a loop."""

    def __init__(self, config: Config, node: str, lock: Callable[[], Lock]) -> None:
        self.node = node
        self.max_frame = config.max_frame
        self.max_rooms = config.max_rooms
        self.limits = Limits(config.max_depth, config.max_elements)
        self._make_lock = lock
        self._lock = lock()
        self._rooms: dict[str, Room] = {}
        self._names: set[str] = set()
        self._epochs = itertools.count(1)
        self._guests = itertools.count(1)

    def enter(self, name: str, member: Member) -> Place:
        """Make a member of it; who is one already stays one. The member's lock is held by the caller."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None:
                # one that comes back is another: it kept nothing, so its offsets begin anew
                room = self._rooms[name] = Room(name, f"{self.node}-{next(self._epochs)}", self._make_lock)
            with room.lock:
                room.members[member] = None
                return Place(room, room.offset, len(room.members))

    def leave(self, room: Room, member: Member) -> None:
        """Take a member out of a room, which ends with the last."""
        with self._lock, room.lock:
            room.members.pop(member, None)
            if not room.members and self._rooms.get(room.name) is room:
                del self._rooms[room.name]

    def claim(self, name: str | None) -> str:
        """Let somebody bear this name, or one made up. Raises ProtocolError NAME_TAKEN."""
        with self._lock:
            if name is None:
                name = next(one for one in map("guest-{}".format, self._guests) if one not in self._names)
            elif fold(name) in self._names:
                raise ProtocolError(Code.NAME_TAKEN, "somebody here has this name", field="name")
            self._names.add(fold(name))
            return name

    def release(self, name: str) -> None:
        """Nobody bears this name any more."""
        with self._lock:
            self._names.discard(fold(name))
