"""The text in what is relayed: a str itself, or what stands beside a picture or file.

Invariant: of a map only these texts are read and replaced, all else stays byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastchat.protocol.codec import pack
from fastchat.protocol.values import load_argument, load_with, map_items, map_of, pairs

KEYS = (pack("text"), pack("caption"))
SILENT = (pack("typing"), pack("away"), pack("at"))
STRINGS = frozenset((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB))  # first bytes of a msgpack str
MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # ... and of a map


def texts(data: bytes) -> list[str]:
    """List the texts in a scanned value."""
    if data[0] in STRINGS:
        return [load_argument(data)]
    if data[0] not in MAPS:
        return []
    return [load_argument(value) for key, value in map_items(data) if _is_text(key, value)]


def with_texts(data: bytes, passed: Sequence[str]) -> bytes:
    """Put others in their place; as many as `texts` has listed."""
    if data[0] in STRINGS:
        return pack(passed[0])
    others = iter(passed)
    items = [(key, pack(next(others)) if _is_text(key, value) else value) for key, value in map_items(data)]
    return map_of(items)


def strings(data: bytes) -> list[str]:
    """List every text in a scanned value, however deep, the keys of maps too."""
    found: list[str] = []
    waiting: list[Any] = [load_with(data, list, lambda kind, body: None)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list | tuple):
            waiting += one
    return found


def silent(state: bytes) -> bool:
    """Whether a scanned map says nothing: whether somebody types, is away, or is at a place."""
    return all(key in SILENT and not strings(value) for key, value in pairs(state))


def _is_text(key: bytes, value: bytes) -> bool:
    if value[0] not in STRINGS or key[0] not in STRINGS:
        return False
    return key in KEYS or pack(load_argument(key)) in KEYS  # a key can be packed longer than it needs to be
