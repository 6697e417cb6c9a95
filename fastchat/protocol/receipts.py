"""Decode replies and pushes for clients.

Invariant: whatever bytes a server sends, the answer is a typed push, None for an operation of a later
version, or ProtocolError MALFORMED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import Code, ProtocolError
from .messages import (
    Bye,
    Change,
    DirectPush,
    Error,
    Gap,
    Member,
    Message,
    Notice,
    Op,
    PingPush,
    PresencePush,
    Push,
    Result,
    SignalPush,
)

Reader = Callable[[Any], Any]


class _Wrong(Exception):
    """A field is not of the type that PROTOCOL gives it."""


def _int(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _Wrong
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong
    return value


def _any(value: Any) -> Any:
    return value


def _map(value: Any) -> Mapping[str, Any]:
    if type(value) is not dict:
        raise _Wrong
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _Wrong
    return value


def _member(value: Any) -> Member:
    fields = _list(value)
    if len(fields) < 3:
        raise _Wrong
    state = fields[1]
    return Member(_str(fields[0]), None if state is None else _map(state), _int(fields[2]))


def _members(value: Any) -> tuple[Member, ...]:
    return tuple(_member(one) for one in _list(value))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(_str(one) for one in _list(value))


class Shape(NamedTuple):
    """How a push is laid out after its operation.

    `opts`: keys of the last element that become fields; None where it is handed on whole or absent.
    """

    push: Callable[..., Push]
    elements: tuple[Reader, ...]
    opts: tuple[tuple[str, Reader, Any], ...] | None = None
    whole: bool = False


SHAPES: Mapping[int, Shape] = {
    Op.RESULT: Shape(Result, (_int, _map)),
    Op.ERROR: Shape(Error, (_int, _int, _str), (("retry_ms", _int, None), ("field", _str, None))),
    Op.MESSAGE: Shape(Message, (_str, _int, _int, _str, _any), whole=True),
    Op.PRESENCE_PUSH: Shape(PresencePush, (_str, _members, _names, _int)),
    Op.DIRECT_PUSH: Shape(DirectPush, (_int, _str, _any), whole=True),
    Op.CHANGE: Shape(Change, (_str, _int, _int, _str, _str, _int, _any)),
    Op.NOTICE: Shape(
        Notice,
        (_str, _str, _str),
        (
            ("seconds", _int, None),
            ("reason", _str, None),
            ("by", _str, None),
            ("members", _int, None),
            ("offset", _int, None),
        ),
    ),
    Op.GAP: Shape(Gap, (_str, _int, _int, _str)),
    Op.PING_PUSH: Shape(PingPush, (_int,)),
    Op.SIGNAL_PUSH: Shape(SignalPush, (_str, _any)),
    Op.BYE: Shape(Bye, (_int, _str), (("reconnect", _bool, False), ("after_ms", _int, None))),
}


def _fields(shape: Shape, values: list[Any]) -> list[Any]:
    count = len(shape.elements)
    fields = [reader(value) for reader, value in zip(shape.elements, values, strict=False)]
    if len(fields) < count:
        raise _Wrong
    if shape.whole or shape.opts:
        opts = _map(values[count]) if len(values) > count and values[count] is not None else {}
        if shape.whole:
            fields.append(opts)
        for name, reader, default in shape.opts or ():
            value = opts.get(name)
            fields.append(default if value is None else reader(value))
    return fields


def push_of(value: object) -> Push | None:
    """Type a decoded message of a server; None when its operation is not known.

    Raises ProtocolError MALFORMED.
    """
    if type(value) is not list or not value or type(value[0]) is not int:
        raise ProtocolError(Code.MALFORMED, "not an array that begins with an integer")
    shape = SHAPES.get(value[0])
    if shape is None:
        return None
    try:
        return shape.push(*_fields(shape, value[1:]))
    except _Wrong:
        raise ProtocolError(Code.MALFORMED, f"operation {value[0]} with fields of the wrong type") from None


def entry_of(room: str, value: object) -> Message | Change | Gap:
    """Type one element of the `messages` of JOIN and HISTORY.

    What the reader may not see, or what has expired, becomes the GAP it would have been live. Raises
    ProtocolError MALFORMED.
    """
    try:
        offset, ts, user, data, opts = _fields(
            Shape(Message, (_int, _int, _str, _any), whole=True), _list(value)
        )
        for why in ("hidden", "expired"):
            if opts.get(why) is True:
                return Gap(room, offset, offset, why)
        if "change" in opts:
            return Change(
                room, offset, ts, user, _str(opts["change"]), _int(opts.get("target")), opts.get("value")
            )
        return Message(room, offset, ts, user, data, opts)
    except _Wrong:
        raise ProtocolError(Code.MALFORMED, "an entry with fields of the wrong type") from None
