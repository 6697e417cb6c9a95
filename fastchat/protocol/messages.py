"""The operations of the wire and what each command carries, typed.

Relayed values (`data`, `state`) stay the msgpack bytes they came as: the server never re-encodes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

VERSION = 1  # the highest protocol version this package speaks
HISTORY_LIMIT = 100  # messages, when HISTORY names no limit
PRESENCE_LIMIT = 100  # members, when PRESENCE names no limit


class Op(IntEnum):
    """The first element of every message (docs/PROTOCOL.md, "Commands" and "Pushes and replies")."""

    CONNECT = 1
    JOIN = 2
    LEAVE = 3
    PUBLISH = 4
    DIRECT = 5
    HISTORY = 6
    PRESENCE = 7
    STATE = 8
    EDIT = 9
    DELETE = 10
    REACT = 11
    MODERATE = 12
    BLOCK = 13
    SIGNAL = 14
    REFRESH = 15
    PING = 16
    PONG = 17
    MARK = 18

    RESULT = 64
    ERROR = 65
    MESSAGE = 66
    PRESENCE_PUSH = 67
    DIRECT_PUSH = 68
    CHANGE = 69
    NOTICE = 70
    GAP = 71
    PING_PUSH = 72
    SIGNAL_PUSH = 73
    BYE = 74


Position: TypeAlias = tuple[str, int]  # (epoch, offset): where a client stands in a room


class Connect(NamedTuple):
    id: int
    version: int = VERSION
    token: str | None = None
    name: str | None = None  # as sent; the hub normalises and checks it
    resume: str | None = None
    client: str | None = None
    rooms: Mapping[str, Position | None] = {}  # names as sent; the hub checks them one by one


class Join(NamedTuple):
    id: int
    room: str
    since: Position | None = None
    history: int = 0  # newest messages wanted when there is no recovery
    presence: bool = False
    token: str | None = None


class Leave(NamedTuple):
    id: int
    room: str


class Publish(NamedTuple):
    id: int
    room: str
    data: bytes  # msgpack, as it came
    key: str | None = None
    echo: bool = True
    ephemeral: bool = False
    ttl_ms: int = 0  # 0: does not expire
    reply_to: int = 0  # offset of the message in the same room that this one answers; 0: none
    mentions: tuple[str, ...] = ()  # names of users, normalised


class Direct(NamedTuple):
    id: int
    user: str
    data: bytes
    key: str | None = None


class History(NamedTuple):
    id: int
    room: str
    after: int | None = None
    before: int | None = None  # at most one of the two is given
    limit: int = HISTORY_LIMIT


class Presence(NamedTuple):
    id: int
    room: str
    limit: int = PRESENCE_LIMIT


class State(NamedTuple):
    id: int
    room: str
    state: bytes  # a msgpack map, as it came


class Edit(NamedTuple):
    id: int
    room: str
    offset: int  # of the message that gets other data
    data: bytes


class Delete(NamedTuple):
    id: int
    room: str
    offset: int


class React(NamedTuple):
    id: int
    room: str
    offset: int
    emoji: str
    on: bool


class Moderate(NamedTuple):
    id: int
    room: str  # "" for the whole server
    action: str  # as sent; the hub knows which there are
    user: str  # a name, or "" where the action is about the room
    seconds: int = 0  # how long: 0 for good
    reason: str | None = None
    address: bool = False  # ban the addresses they are here from as well
    members: int = 0  # of cap: how many


class Refresh(NamedTuple):
    id: int
    token: str


class Mark(NamedTuple):
    id: int
    room: str
    offset: int  # read up to here


class Block(NamedTuple):
    id: int
    user: str
    on: bool


class Signal(NamedTuple):
    id: int
    user: str
    data: bytes


class Ping(NamedTuple):
    id: int


class Pong(NamedTuple):
    id: int


Command: TypeAlias = (
    Connect
    | Join
    | Leave
    | Publish
    | Direct
    | History
    | Presence
    | State
    | Edit
    | Delete
    | React
    | Moderate
    | Block
    | Signal
    | Refresh
    | Ping
    | Pong
    | Mark
)


class Result(NamedTuple):
    id: int
    body: Mapping[str, Any]


class Error(NamedTuple):
    id: int  # 0: not about a command that asked for a reply
    code: int  # one of `Code`, or of a later version
    text: str
    retry_ms: int | None = None
    field: str | None = None


class Message(NamedTuple):
    room: str
    offset: int  # 0: not stored
    ts: int  # ms since 1970
    user: str
    data: Any
    opts: Mapping[str, Any]


class Member(NamedTuple):
    user: str
    state: Mapping[Any, Any] | None
    since: int  # ms since 1970


class PresencePush(NamedTuple):
    room: str
    joined: tuple[Member, ...]
    left: tuple[str, ...]
    members: int  # in the room now


class DirectPush(NamedTuple):
    ts: int
    user: str
    data: Any
    opts: Mapping[str, Any]


class Change(NamedTuple):
    room: str
    offset: int
    ts: int
    user: str
    kind: str  # "edit", "delete", "react", or of a later version
    target: int
    value: Any


class Notice(NamedTuple):
    room: str
    action: str
    user: str
    seconds: int | None = None
    reason: str | None = None
    by: str | None = None
    members: int | None = None  # of "cap"
    offset: int | None = None  # of "read": how far; of "flag": the message


class Gap(NamedTuple):
    room: str
    start: int  # the first offset that will not come
    end: int  # ... and the last
    why: str  # "slow", "hidden", "expired"


class PingPush(NamedTuple):
    time: int


class SignalPush(NamedTuple):
    user: str
    data: Any


class Bye(NamedTuple):
    code: int
    text: str
    reconnect: bool = False
    after_ms: int | None = None


Push: TypeAlias = (
    Result | Error | Message | PresencePush | DirectPush | Change | Notice | Gap | PingPush | SignalPush | Bye
)
