"""The operations of the wire and what each command carries, typed.

Relayed values (`data`, `state`) stay the msgpack bytes they came as: the server never re-encodes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple, TypeAlias

VERSION = 1  # the highest protocol version this package speaks


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
    version: int
    token: str | None
    name: str | None  # as sent; the hub normalises and checks it
    resume: str | None
    client: str | None
    rooms: Mapping[str, Position | None]


class Join(NamedTuple):
    id: int
    room: str
    since: Position | None
    history: int
    presence: bool
    token: str | None


class Leave(NamedTuple):
    id: int
    room: str


class Publish(NamedTuple):
    id: int
    room: str
    data: bytes  # msgpack, as it came
    key: str | None
    echo: bool
    ephemeral: bool
    ttl_ms: int  # 0: does not expire


class Direct(NamedTuple):
    id: int
    user: str
    data: bytes
    key: str | None


class History(NamedTuple):
    id: int
    room: str
    after: int | None
    before: int | None
    limit: int


class Presence(NamedTuple):
    id: int
    room: str
    limit: int


class State(NamedTuple):
    id: int
    room: str
    state: bytes  # a msgpack map, as it came


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
    Connect | Join | Leave | Publish | Direct | History | Presence | State | Block | Signal | Ping | Pong
)
