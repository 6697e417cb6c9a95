"""The one place where msgpack the library is called.

Invariant: `load` is given only what `scan` has let through; with those the library has nothing to refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]


def pack(value: object) -> bytes:
    """Pack a Python value in the shortest msgpack form.

    Raises TypeError, ValueError or OverflowError for what msgpack cannot say.
    """
    packed: bytes = msgpack.packb(value)
    return packed


def load(payload: bytes) -> Any:
    """Decode a scanned value; of duplicate keys the last one counts."""
    return msgpack.unpackb(payload, strict_map_key=False)


def array_of(items: Sequence[bytes]) -> bytes:
    """Make an array of values that are packed already."""
    packed: bytes = msgpack.Packer().pack_array_header(len(items))
    return packed + b"".join(items)


def map_of(items: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Make a map of keys and values that are packed already."""
    packed: bytes = msgpack.Packer().pack_map_header(len(items))
    return packed + b"".join(key + value for key, value in items)
