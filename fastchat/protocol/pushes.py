"""Encode replies and pushes of the server, except the hot ones, which the codec twins encode.

Invariant: what the server relays (`data`, state, names packed once) goes in as msgpack bytes and stands in
the frame byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .messages import Op
from .values import array_of as _array
from .values import map_of, pack

NIL = b"\xc0"
EMPTY = b"\x80"  # opts with nothing in them
HIDDEN = b"\x81\xa6hidden\xc3"  # opts of an entry that its reader may not see
EXPIRED = b"\x81\xa7expired\xc3"  # opts of an entry whose ttl_ms has passed


def _head(count: int, op: Op) -> bytes:
    return bytes((0x90 | count, op))


def _opts(**values: object) -> bytes:
    return pack({name: value for name, value in values.items() if value is not None})


def result(id: int, body: Mapping[str, Any]) -> bytes:
    """Encode RESULT."""
    return result_raw(id, pack(body))


def result_raw(id: int, body: bytes) -> bytes:
    """Encode RESULT with a body that is a msgpack map already."""
    return _head(3, Op.RESULT) + pack(id) + body


def error(id: int, code: int, text: str, retry_ms: int | None = None, field: str | None = None) -> bytes:
    """Encode ERROR."""
    opts = _opts(retry_ms=retry_ms, field=field)
    return _head(5, Op.ERROR) + pack(id) + pack(int(code)) + pack(text) + opts


def bye(code: int, text: str, reconnect: bool, after_ms: int | None = None) -> bytes:
    """Encode BYE; `after_ms` is the least time before coming back."""
    return _head(4, Op.BYE) + pack(int(code)) + pack(text) + _opts(reconnect=reconnect, after_ms=after_ms)


def fit(entries: Sequence[bytes], size: int) -> int:
    """Tell how many entries, from the first, fit into `size` bytes."""
    for count, one in enumerate(entries):
        size -= len(one)
        if size < 0:
            return count
    return len(entries)


def join_body(
    *,
    epoch: str,
    offset: int,
    recovered: bool | None,
    messages: Sequence[bytes],
    members: int,
    presence: Sequence[bytes] | None = None,
    read: int | None = None,
    more: bool = False,
) -> bytes:
    """Encode the body of a JOIN result; `messages` are of `entry`, `presence` of `member`.

    `read`: up to which offset this user has read, as MARK has told.
    `more`: the messages were cut at the frame limit, the rest is to be asked for with HISTORY.
    """
    parts = [
        bytes((0x85 + (presence is not None) + (read is not None) + more,)),
        b"\xa5epoch" + pack(epoch),
        b"\xa6offset" + pack(offset),
        b"\xa9recovered" + pack(recovered),
        b"\xa8messages" + _array(messages),
        b"\xa7members" + pack(members),
    ]
    if presence is not None:
        parts.append(b"\xa8presence" + _array(presence))
    if read is not None:
        parts.append(b"\xa4read" + pack(read))
    if more:
        parts.append(b"\xa4more\xc3")
    return b"".join(parts)


def history_body(*, epoch: str, offset: int, messages: Sequence[bytes], more: bool = False) -> bytes:
    """Encode the body of a HISTORY result; `messages` are of `entry`, `more` as for JOIN."""
    return b"".join(
        (
            b"\x84" if more else b"\x83",
            b"\xa5epoch" + pack(epoch),
            b"\xa6offset" + pack(offset),
            b"\xa8messages" + _array(messages),
            b"\xa4more\xc3" if more else b"",
        )
    )


def connect_result(id: int, body: Mapping[str, Any], rooms: Mapping[str, bytes]) -> bytes:
    """Encode RESULT of CONNECT: `body` without `rooms`, and the packed join result of each room."""
    joined = map_of([(pack(room), one) for room, one in rooms.items()])
    items = [(pack(key), pack(value)) for key, value in body.items()]
    return result_raw(id, map_of([*items, (b"\xa5rooms", joined)]))


def member(user: bytes, state: bytes, since: int) -> bytes:
    """Encode [user, state, since]; `user` and `state` are msgpack already, `since` is in ms."""
    return b"\x93" + user + state + pack(since)


def presence_body(count: int, members: Sequence[bytes]) -> bytes:
    """Encode the body of a PRESENCE result; `members` are of `member`."""
    return b"\x82\xa5count" + pack(count) + b"\xa7members" + _array(members)


def presence_push(room: bytes, joined: Sequence[bytes], left: Sequence[bytes], count: int) -> bytes:
    """Encode a PRESENCE push; `joined` are of `member`, `room` and `left` packed names."""
    return _head(5, Op.PRESENCE_PUSH) + room + _array(joined) + _array(left) + pack(count)


def direct_push(ts: int, user: bytes, data: bytes, opts: bytes = EMPTY) -> bytes:
    """Encode a DIRECT push; `user`, `data` and `opts` are msgpack already, `ts` is in ms."""
    return _head(5, Op.DIRECT_PUSH) + pack(ts) + user + data + opts


def change(room: bytes, offset: int, ts: int, user: bytes, kind: str, target: int, value: bytes) -> bytes:
    """Encode CHANGE; `room`, `user` and `value` are msgpack already, `ts` is in ms."""
    return b"".join(
        (
            _head(8, Op.CHANGE),
            room,
            pack(offset),
            pack(ts),
            user,
            pack(kind),
            pack(target),
            value,
        )
    )


def notice(
    room: bytes,
    action: str,
    user: bytes,
    *,
    seconds: int | None = None,
    reason: str | None = None,
    by: str | None = None,
    members: int | None = None,
    offset: int | None = None,
) -> bytes:
    """Encode NOTICE; `room` and `user` are packed names."""
    opts = _opts(seconds=seconds, reason=reason, by=by, members=members, offset=offset)
    return _head(5, Op.NOTICE) + room + pack(action) + user + opts


def gap(room: bytes, start: int, end: int, why: str) -> bytes:
    """Encode GAP: offsets `start` to `end`, both included, will not come on this connection."""
    return _head(5, Op.GAP) + room + pack(start) + pack(end) + pack(why)


def ping_push(time: int) -> bytes:
    """Encode a PING push; `time` in ms."""
    return _head(2, Op.PING_PUSH) + pack(time)


def signal_push(user: bytes, data: bytes) -> bytes:
    """Encode a SIGNAL push; `user` and `data` are msgpack already."""
    return _head(3, Op.SIGNAL_PUSH) + user + data
