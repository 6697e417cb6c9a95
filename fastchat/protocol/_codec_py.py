"""Check msgpack before anything decodes it, and encode what is hot: the pure twin of `_codec.pyx`.

Invariant: what `scan` lets through, every msgpack library can decode: complete, within `Limits`, strings in
UTF-8, no container as a map key, and of the reserved exts only timestamps.
"""

from __future__ import annotations

import struct

from ..errors import Code, ProtocolError
from . import rules
from .commands import decode
from .forms import ARRAY, EXT, INTEGERS, KIND, MAP, NANOSECONDS, NEVER, SCALAR, SIZE, STR, WIDE
from .messages import Command
from .rules import FAULTS, Limits


def _fault(number: int) -> ProtocolError:
    return ProtocolError(Code.MALFORMED, FAULTS[number])


def _timestamp(ext: bytes) -> bool:
    """Tell whether an ext, its type first, is a timestamp: all other types below 0 are reserved.

    Libraries raise their own errors on the reserved ones, and on timestamps that are none.
    """
    if ext[0] != 0xFF:
        return False
    body = ext[1:]
    if len(body) == 8:
        return int.from_bytes(body, "big") >> 34 < NANOSECONDS
    if len(body) == 12:
        return int.from_bytes(body[:4], "big") < NANOSECONDS
    return len(body) == 4


def _walk(payload: bytes, at: int, limits: Limits, opened: int, budget: int) -> tuple[int, int]:
    """Check one value that begins at `at` inside `opened` containers, `budget` elements being left.

    Returns where it ends and the budget after it.
    """
    end = len(payload)
    deepest = min(limits.depth, rules.MAX_DEPTH)
    outer: list[tuple[int, bool]] = []  # (elements still to come, in a map) of the containers around
    left, in_map = 1, False
    while True:
        if not left:
            if not outer:
                return at, budget
            left, in_map = outer.pop()
            continue
        is_key = in_map and left % 2 == 0
        left -= 1
        if at >= end:
            raise _fault(rules.TRUNCATED)
        first = payload[at]
        kind = KIND[first]
        if kind == SCALAR:
            at += SIZE[first]
            if at > end:
                raise _fault(rules.TRUNCATED)
            continue
        if kind == NEVER:
            raise _fault(rules.NEVER_USED)
        wide = WIDE[first]
        at += 1 + wide
        if at > end:
            raise _fault(rules.TRUNCATED)
        size = int.from_bytes(payload[at - wide : at], "big") if wide else SIZE[first]
        if kind in (ARRAY, MAP):
            if is_key:
                raise _fault(rules.BAD_MAP_KEY)
            if opened + len(outer) + 1 > deepest:
                raise _fault(rules.TOO_DEEP)
            outer.append((left, in_map))
            in_map = kind == MAP
            left = size * 2 if in_map else size
            budget -= left
            if budget < 0:
                raise _fault(rules.TOO_MANY)
            continue
        if kind == EXT:
            size += 1  # the type
        start, at = at, at + size
        if at > end:
            raise _fault(rules.TRUNCATED)
        if kind == STR:
            try:
                payload[start:at].decode()
            except UnicodeDecodeError:
                raise _fault(rules.NOT_UTF8) from None
        elif kind == EXT and payload[start] >= 0x80 and not _timestamp(payload[start:at]):
            raise _fault(rules.BAD_EXT)


def scan(payload: bytes, limits: Limits) -> None:
    """Check that `payload` is exactly one msgpack value within `limits`.

    Raises ProtocolError MALFORMED, and nothing else, whatever the bytes.
    """
    at, _ = _walk(payload, 0, limits, 0, limits.elements)
    if at != len(payload):
        raise _fault(rules.TRAILING)


def split(payload: bytes, limits: Limits) -> list[int]:
    """Check a whole message as `scan` does and that it is an array beginning with an integer.

    Returns where its elements begin, and behind the last where it ends; only the first 8 are told.
    """
    if not payload:
        raise _fault(rules.TRUNCATED)
    if KIND[payload[0]] != ARRAY:
        raise _fault(rules.NOT_A_MESSAGE)
    wide = WIDE[payload[0]]
    at = 1 + wide
    if at > len(payload):
        raise _fault(rules.TRUNCATED)
    count = int.from_bytes(payload[1:at], "big") if wide else SIZE[payload[0]]
    if not count:
        raise _fault(rules.NOT_A_MESSAGE)
    if limits.depth < 1:
        raise _fault(rules.TOO_DEEP)
    budget = limits.elements - count
    if budget < 0:
        raise _fault(rules.TOO_MANY)
    if at == len(payload):
        raise _fault(rules.TRUNCATED)
    if payload[at] not in INTEGERS:
        raise _fault(rules.NOT_A_MESSAGE)
    starts: list[int] = []
    for index in range(count):
        if index <= rules.TOP:
            starts.append(at)
        at, budget = _walk(payload, at, limits, 1, budget)
    if at != len(payload):
        raise _fault(rules.TRAILING)
    if count <= rules.TOP:
        starts.append(at)
    return starts


def decode_command(payload: bytes, limits: Limits) -> Command:
    """Decode what a client sent.

    Raises ProtocolError, and nothing else, whatever the bytes: MALFORMED with id 0, UNKNOWN_OPERATION with
    the id where it is readable, BAD_ARGUMENT with field and id.
    """
    return decode(payload, split(payload, limits))


_UINT16 = struct.Struct(">BH").pack
_UINT32 = struct.Struct(">BI").pack
_UINT64 = struct.Struct(">BQ").pack
_SMALL = tuple(bytes((value,)) for value in range(128))


def uint(value: int) -> bytes:
    """Pack an unsigned integer in its shortest form; OverflowError outside 0 to 2^64-1."""
    if 0 <= value < 128:
        return _SMALL[value]
    if value < 0 or value >= 2**64:
        raise OverflowError("not an unsigned integer of 64 bits")
    if value < 2**8:
        return bytes((0xCC, value))
    if value < 2**16:
        return _UINT16(0xCD, value)
    if value < 2**32:
        return _UINT32(0xCE, value)
    return _UINT64(0xCF, value)


def ping_result(id: int, time: int) -> bytes:
    """Encode RESULT {time} of a PING; `time` in ms."""
    return b"".join((b"\x93\x40", uint(id), b"\x81\xa4time", uint(time)))


def publish_result(id: int, offset: int, ts: int, duplicate: bool = False) -> bytes:
    """Encode RESULT {offset, ts} of a PUBLISH, with {duplicate: true} when its key was seen; `ts` in ms."""
    head, tail = (b"\x83\xa6offset", b"\xa9duplicate\xc3") if duplicate else (b"\x82\xa6offset", b"")
    return b"".join((b"\x93\x40", uint(id), head, uint(offset), b"\xa2ts", uint(ts), tail))


def message(room: bytes, offset: int, ts: int, user: bytes, data: bytes, opts: bytes = b"\x80") -> bytes:
    """Encode MESSAGE; `room`, `user`, `data` and `opts` are msgpack already, `ts` is in ms."""
    return b"".join((b"\x97\x42", room, uint(offset), uint(ts), user, data, opts))


def entry(offset: int, ts: int, user: bytes, data: bytes, opts: bytes = b"\x80") -> bytes:
    """Encode one element of `messages`; `user`, `data` and `opts` are msgpack already, `ts` is in ms."""
    return b"".join((b"\x95", uint(offset), uint(ts), user, data, opts))
