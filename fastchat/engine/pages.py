"""Cut what was read to the length of a page.

Invariant: a page is never empty because its first entry is long.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastchat.engine.base import MAX_PAGE, Entry


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
