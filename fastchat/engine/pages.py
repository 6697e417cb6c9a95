"""Take entries out of a room, and cut them to the length of a page.

Invariant: a page is never empty because its first entry is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

from fastchat.engine.base import MAX_PAGE, Entry

Kept: TypeAlias = tuple[int, int, str, bytes, bytes, int, str]  # the fields of an Entry


def span(entries: deque[Kept], start: int, stop: int) -> list[Entry]:
    """Copy a part of a room, walking from the nearer end: most readers want the newest."""
    count = len(entries)
    if start < count - stop:
        return list(map(Entry._make, islice(entries, start, stop)))
    found = list(map(Entry._make, islice(reversed(entries), count - stop, count - start)))
    found.reverse()
    return found


def cut(entries: Iterable[Entry]) -> tuple[list[Entry], bool]:
    """Take the first entries up to MAX_PAGE bytes of data; tells whether any was left out."""
    size = 0
    found: list[Entry] = []
    for entry in entries:
        size += len(entry.data) + len(entry.opts)
        if size > MAX_PAGE and found:
            return found, True
        found.append(entry)
    return found, False


def cut_older(entries: Iterable[Entry]) -> tuple[list[Entry], bool]:
    """The same of entries that come the newest first; returns them in ascending order."""
    found, more = cut(entries)
    found.reverse()
    return found, more
