"""Patterns of rooms' names: "team:*" stands for every room of the namespace team; only "*" is special.

Invariant: whether a name matches costs no more than name and pattern are long, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PATTERN = re.compile(r"[a-zA-Z0-9._:/*-]{1,64}")


def matches(pattern: str, room: str) -> bool:
    """Tell whether the pattern stands for this room; "*" is for any characters, or none."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return pattern == room
    last = pieces.pop()
    place, end = len(first), len(room) - len(last)
    if place > end or not room.startswith(first) or not room.endswith(last):
        return False
    for piece in pieces:  # the leftmost place for each leaves the most room for those after it
        found = room.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True


def among(patterns: Iterable[str] | None, room: str) -> bool:
    """Tell whether one of the patterns stands for this room; None is all rooms."""
    return patterns is None or any(matches(pattern, room) for pattern in patterns)
