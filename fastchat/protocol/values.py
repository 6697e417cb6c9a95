"""The one place where msgpack the library is called.

Invariant: `load` is given only what `scan` has let through; with those the library has nothing to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgpack  # type: ignore[import-untyped]
from msgpack import Timestamp

__all__ = ["Timestamp", "array_of", "ext_of", "load", "load_argument", "load_with", "map_of", "pack", "pairs"]


def pack(value: object) -> bytes:
    """Pack a Python value in the shortest msgpack form.

    Raises TypeError, ValueError or OverflowError for what msgpack cannot say.
    """
    packed: bytes = msgpack.packb(value)
    return packed


def load(payload: bytes) -> Any:
    """Decode a scanned value; of duplicate keys the last one counts."""
    return msgpack.unpackb(payload, strict_map_key=False)


def load_argument(payload: bytes) -> Any:
    """Decode a scanned argument of a command; a timestamp, which no command takes, becomes a float.

    As a map key a `Timestamp` has a hash that a peer can choose: 1,000 alike in 16 KB took 0.16 s.
    """
    return msgpack.unpackb(payload, strict_map_key=False, timestamp=1)


def load_with(
    payload: bytes, pairs: Callable[[list[tuple[Any, Any]]], Any], ext: Callable[[int, bytes], Any]
) -> Any:
    """Decode a scanned value, making maps with `pairs(pairs)` and exts with `ext(type, body)`.

    An ext of type -1 becomes a `Timestamp` all the same.
    """
    return msgpack.unpackb(payload, strict_map_key=False, object_pairs_hook=pairs, ext_hook=ext)


def ext_of(type: int, body: bytes) -> bytes:
    """Make an ext of any type, -128 to 127: the library itself makes no negative ones."""
    size = len(body)
    if size in (1, 2, 4, 8, 16):
        head = bytes((0xD3 + size.bit_length(),))
    elif size < 2**8:
        head = bytes((0xC7, size))
    elif size < 2**16:
        head = b"\xc8" + size.to_bytes(2, "big")
    else:
        head = b"\xc9" + size.to_bytes(4, "big")
    return head + type.to_bytes(1, "big", signed=True) + body


def array_of(items: Sequence[bytes]) -> bytes:
    """Make an array of values that are packed already."""
    packed: bytes = msgpack.Packer().pack_array_header(len(items))
    return packed + b"".join(items)


def pairs(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a scanned map into its keys and values, each as the bytes that came."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(payload))
    unpacker.feed(payload)
    found = []
    count = unpacker.read_map_header()
    begin = unpacker.tell()
    for _ in range(count):
        unpacker.skip()
        middle = unpacker.tell()
        unpacker.skip()
        end = unpacker.tell()
        found.append((payload[begin:middle], payload[middle:end]))
        begin = end
    return found


def map_of(items: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Make a map of keys and values that are packed already."""
    packed: bytes = msgpack.Packer().pack_map_header(len(items))
    return packed + b"".join(key + value for key, value in items)


def map_items(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a scanned map into its keys and values, as they were packed."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(payload)
    count = unpacker.read_map_header()
    places = [unpacker.tell()]
    for _ in range(2 * count):
        unpacker.skip()
        places.append(unpacker.tell())
    parts = [payload[start:end] for start, end in pairwise(places)]
    return list(zip(parts[::2], parts[1::2], strict=True))
