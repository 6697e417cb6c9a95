"""What a client is told, typed: messages, presence, holes that stay holes, and the connection's own life.

What comes from the wire unchanged keeps the wire's type. Times (`ts`, `since`) are the server's, in
milliseconds since 1970-01-01T00:00Z; `data` is decoded msgpack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from fastchat.protocol.messages import Change, Gap, Member, Message, Notice, Position
from fastchat.protocol.messages import DirectPush as Direct
from fastchat.protocol.messages import SignalPush as Signal


class Lost(NamedTuple):
    """The server could not continue where this client stood; what follows is the room as it is now.

    `missed` counts the messages that will never come where that can be known, else None.
    """

    room: str
    since: Position
    now: Position
    missed: int | None


@dataclass(frozen=True, slots=True)
class Presence:
    """Who came, went or changed; with `snapshot` it is everybody the server lists."""

    room: str
    joined: tuple[Member, ...]
    left: tuple[str, ...]
    count: int  # of all who are in the room, listed or not
    snapshot: bool = False


class Left(NamedTuple):
    """This client is no longer in the room, against its will: `code` and `text` say why."""

    room: str
    code: int
    text: str


class Complaint(NamedTuple):
    """An ERROR that answers no request: what was sent without asking for a reply was refused."""

    code: int
    text: str


class Online(NamedTuple):
    """The server has answered CONNECT; `again` after a reconnection."""

    user: str
    node: str
    again: bool


class Offline(NamedTuple):
    """The connection is gone; the next attempt comes in `retry_seconds`."""

    why: str
    retry_seconds: float


class Ack(NamedTuple):
    """The answer to PUBLISH and to changes; `duplicate` when the server had done it before."""

    offset: int  # 0 for what is not stored
    ts: int  # ms
    duplicate: bool


class Joined(NamedTuple):
    """The answer to JOIN: where the room stands, and how many are in it."""

    epoch: str
    offset: int
    recovered: bool | None  # None: nothing was asked to be recovered
    members: int
    read: int | None = None  # up to where this user has marked the room as read


@dataclass(frozen=True, slots=True)
class Members:
    """The answer to PRESENCE."""

    count: int  # of all
    members: tuple[Member, ...]  # as many as were asked for


RoomEvent: TypeAlias = Message | Change | Gap | Lost | Presence | Notice | Left
Event: TypeAlias = RoomEvent | Direct | Signal | Online | Offline | Complaint

__all__ = [
    "Ack",
    "Change",
    "Complaint",
    "Direct",
    "Event",
    "Gap",
    "Joined",
    "Left",
    "Lost",
    "Member",
    "Members",
    "Message",
    "Notice",
    "Offline",
    "Online",
    "Position",
    "Presence",
    "RoomEvent",
    "Signal",
]
