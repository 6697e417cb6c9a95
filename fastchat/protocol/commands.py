"""Commands between their typed form and msgpack: the shape of each operation is a row of a table.

Invariant: `decode` sees only payloads that a twin's `split` has checked, so nothing here can be surprised by
the bytes, only by their types, and then it raises BAD_ARGUMENT naming the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import Code, ProtocolError
from .messages import (
    HISTORY_LIMIT,
    PRESENCE_LIMIT,
    Block,
    Command,
    Connect,
    Delete,
    Direct,
    Edit,
    History,
    Join,
    Leave,
    Mark,
    Moderate,
    Op,
    Ping,
    Pong,
    Position,
    Presence,
    Publish,
    React,
    Refresh,
    Signal,
    State,
)
from .names import ROOM, user_name
from .rules import MAX_ID, MAX_KEY, MAX_MENTIONS, MAX_UINT
from .values import load_argument, pack


class _Wrong(Exception):
    """An argument is not what its reader wants; the text says what it wants."""


def _uint(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_UINT:  # True is an int to isinstance
        raise _Wrong("an integer from 0 to 2^53-1")
    return value


def _bool(value: object) -> bool:
    if type(value) is not bool:
        raise _Wrong("true or false")
    return value


def _str(value: object) -> str:
    if type(value) is not str:
        raise _Wrong("a str")
    return value


def _room(value: object) -> str:
    if type(value) is not str or ROOM.fullmatch(value) is None:
        raise _Wrong("a str of 1 to 64 of a-z A-Z 0-9 . _ : / -")
    return value


def _place(value: object) -> str:
    return "" if value == "" else _room(value)


def _key(value: object) -> str:
    if type(value) is not str or not 1 <= len(value) <= MAX_KEY:
        raise _Wrong("a str of 1 to 64 characters")
    return value


def _mentions(value: object) -> tuple[str, ...]:
    if type(value) is not list or len(value) > MAX_MENTIONS or not all(type(name) is str for name in value):
        raise _Wrong(f"an array of at most {MAX_MENTIONS} users")
    try:
        return tuple(dict.fromkeys(map(user_name, value)))
    except ProtocolError as wrong:
        raise _Wrong(f"an array of users: {wrong.text}") from None


def _position(value: object) -> Position:
    if type(value) is not list or len(value) < 2 or type(value[0]) is not str:
        raise _Wrong("[epoch, offset]")
    return value[0], _uint(value[1])


def _rooms(value: object) -> Mapping[str, Position | None]:
    if type(value) is not dict or not all(type(room) is str for room in value):
        raise _Wrong("a map of room to [epoch, offset] or nil")
    return {room: None if since is None else _position(since) for room, since in value.items()}


def _map(value: object) -> Mapping[object, object]:
    if type(value) is not dict:
        raise _Wrong("a map")
    return value


Reader = Callable[[object], object]


class Shape(NamedTuple):
    """How an operation is laid out after its id: elements in order, then the keys of `opts`.

    An element with the reader None is relayed as it came. The command's fields stand in the same order.
    """

    command: Callable[..., Command]
    elements: tuple[tuple[str, Reader | None], ...] = ()
    opts: tuple[tuple[str, Reader, Any], ...] = ()


SHAPES: Mapping[int, Shape] = {
    Op.CONNECT: Shape(
        Connect,
        (("version", _uint),),
        (
            ("token", _str, None),
            ("name", _str, None),
            ("resume", _str, None),
            ("client", _str, None),
            ("rooms", _rooms, {}),
        ),
    ),
    Op.JOIN: Shape(
        Join,
        (("room", _room),),
        (
            ("since", _position, None),
            ("history", _uint, 0),
            ("presence", _bool, False),
            ("token", _str, None),
        ),
    ),
    Op.LEAVE: Shape(Leave, (("room", _room),)),
    Op.PUBLISH: Shape(
        Publish,
        (("room", _room), ("data", None)),
        (
            ("key", _key, None),
            ("echo", _bool, True),
            ("ephemeral", _bool, False),
            ("ttl_ms", _uint, 0),
            ("reply_to", _uint, 0),
            ("mentions", _mentions, ()),
        ),
    ),
    Op.DIRECT: Shape(Direct, (("user", _str), ("data", None)), (("key", _key, None),)),
    Op.HISTORY: Shape(
        History,
        (("room", _room),),
        (("after", _uint, None), ("before", _uint, None), ("limit", _uint, HISTORY_LIMIT)),
    ),
    Op.PRESENCE: Shape(Presence, (("room", _room),), (("limit", _uint, PRESENCE_LIMIT),)),
    Op.STATE: Shape(State, (("room", _room), ("state", None))),
    Op.EDIT: Shape(Edit, (("room", _room), ("offset", _uint), ("data", None))),
    Op.DELETE: Shape(Delete, (("room", _room), ("offset", _uint))),
    Op.REACT: Shape(React, (("room", _room), ("offset", _uint), ("emoji", _str), ("on", _bool))),
    Op.MODERATE: Shape(
        Moderate,
        (("room", _place), ("action", _str), ("user", _str)),
        (("seconds", _uint, 0), ("reason", _str, None), ("address", _bool, False), ("members", _uint, 0)),
    ),
    Op.BLOCK: Shape(Block, (("user", _str), ("on", _bool))),
    Op.SIGNAL: Shape(Signal, (("user", _str), ("data", None))),
    Op.REFRESH: Shape(Refresh, (("token", _str),)),
    Op.PING: Shape(Ping),
    Op.PONG: Shape(Pong),
    Op.MARK: Shape(Mark, (("room", _room), ("offset", _uint))),
}

OPS: Mapping[type, Op] = {shape.command: Op(op) for op, shape in SHAPES.items()}  # type: ignore[misc]
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # first bytes of a msgpack map


def _id(payload: bytes, starts: list[int]) -> int | None:
    """The command's id, None where it is missing or not one."""
    if len(starts) < 3:
        return None
    first = payload[starts[1]]
    if first < 0x80:
        return first
    value = load_argument(payload[starts[1] : starts[2]])
    if type(value) is int and 0 <= value <= MAX_ID:
        return value
    return None


def decode(payload: bytes, starts: list[int]) -> Command:
    """Decode a message whose elements begin at `starts` (the last of them its end); raises ProtocolError."""
    op = payload[starts[0]]
    if op >= 0x80:
        op = load_argument(payload[starts[0] : starts[1]])
    id = _id(payload, starts)
    shape = SHAPES.get(op)
    if shape is None:
        raise ProtocolError(Code.UNKNOWN_OPERATION, f"unknown operation {op}", id=id or 0)
    if id is None:
        raise _bad("id", "an integer from 0 to 2^32-1", 0)
    values: list[object] = [id]
    at = 2
    for name, reader in shape.elements:
        if at + 1 >= len(starts):
            raise ProtocolError(Code.BAD_ARGUMENT, f"{name} is missing", field=name, id=id)
        if reader is None:
            values.append(payload[starts[at] : starts[at + 1]])
        else:
            values.append(_read(name, reader, load_argument(payload[starts[at] : starts[at + 1]]), id))
        at += 1
    if shape.opts:
        opts = load_argument(payload[starts[at] : starts[at + 1]]) if at + 1 < len(starts) else None
        given = {} if opts is None else _read("opts", _map, opts, id)
        for name, reader, default in shape.opts:
            value = given.get(name)
            values.append(default if value is None else _read(name, reader, value, id))
    command = shape.command(*values)
    _check(command)
    return command


def _bad(name: str, wanted: str, id: int) -> ProtocolError:
    return ProtocolError(Code.BAD_ARGUMENT, f"{name} must be {wanted}", field=name, id=id)


def _read(name: str, reader: Callable[[object], Any], value: object, id: int) -> Any:
    try:
        return reader(value)
    except _Wrong as wrong:
        raise _bad(name, str(wrong), id) from None


def _check(command: Command) -> None:
    """What a row of the table cannot say."""
    if isinstance(command, State) and command.state[0] not in _MAPS:
        raise _bad("state", "a map", command.id)
    if isinstance(command, History) and command.after is not None and command.before is not None:
        raise _bad("before", "left out when after is given", command.id)


def encode_command(command: Command) -> bytes:
    """Encode what a client sends; options at their default are left out, `data` is msgpack already."""
    op = OPS[type(command)]
    shape = SHAPES[op]
    split_at = 1 + len(shape.elements)
    opts = {
        name: value
        for (name, _, default), value in zip(shape.opts, command[split_at:], strict=True)
        if value != default
    }
    parts = [bytes((0x90 | (1 + split_at + bool(opts)), op)), pack(command.id)]
    value: Any
    for (_, reader), value in zip(shape.elements, command[1:split_at], strict=True):
        parts.append(value if reader is None else pack(value))
    if opts:
        parts.append(pack(opts))
    return b"".join(parts)
