"""Rooms with a radius: where the members are, and who hears whom.

Invariant: a place is known to the room's fan-out and nobody else. It is pushed to nobody, or a thousand who
move would cost a thousand times a thousand pushes; others see somebody move by what that one publishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.broadcast import Fanout, Outbox
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.values import load_argument, map_of, pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = b"\xa2at"  # the key of a state under which the place stands
PLAIN = b"\x81" + AT  # how a state begins that has nothing else, as nearly all do


def moved(members: Fanout, outbox: Outbox, state: bytes) -> bytes | None:
    """Let the member be where its state says; returns the state without that, None if nothing else was in it.

    `state` is a msgpack map. Raises ProtocolError BAD_ARGUMENT, and then the member has not moved.
    """
    if state.startswith(PLAIN):
        _place(members, outbox, state[len(PLAIN) :])
        return None
    entries = pairs(state)
    rest = [entry for entry in entries if entry[0] != AT]
    if len(rest) == len(entries):
        return state
    _place(members, outbox, next(value for key, value in reversed(entries) if key == AT))
    return map_of(rest) if rest else None


def _place(members: Fanout, outbox: Outbox, packed: bytes) -> None:
    value = load_argument(packed)
    if value is None:
        members.unplace(outbox)
        return
    try:
        x, y = _numbers(value)
        members.place(outbox, x, y)
    except ValueError:
        text = "`at` is [x, y], two numbers from -1e9 to 1e9, or nil"
        raise ProtocolError(Code.BAD_ARGUMENT, text, field="state") from None


def _numbers(value: object) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2 and all(type(one) in (int, float) for one in value):
        return value[0], value[1]
    raise ValueError


def put_near(
    members: Fanout, outbox: Outbox, payload: bytes, skip: Sequence[Outbox], expires: float
) -> bool:
    """Let those hear it who are near the publisher, as `Fanout.put` does; who is nowhere reaches nobody."""
    place = members.position(outbox)
    return place is None or members.put(payload, skip=skip, expires=expires, at=place)
