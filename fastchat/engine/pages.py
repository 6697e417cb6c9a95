"""Take entries out of a room, and cut them to the length of a page.

Invariant: a page is never empty because its first entry is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

from fastchat.engine.base import MAX_PAGE, Entry, Page, Query

Kept: TypeAlias = tuple[int, int, str, bytes, bytes, int, str]  # the fields of an Entry


def span(entries: deque[Kept], start: int, stop: int) -> list[Entry]:
    """Copy a part of a room, walking from the nearer end: most readers want the newest."""
    count = len(entries)
    if start < count - stop:
        return list(map(Entry._make, islice(entries, start, stop)))
    found = list(map(Entry._make, islice(reversed(entries), count - stop, count - start)))
    found.reverse()
    return found


def together(queries: Sequence[Query], page: Callable[[Query, int], Page]) -> list[Page]:
    """Answer queries with pages that have MAX_PAGE bytes of data between them; the first ones take theirs."""
    most = MAX_PAGE
    pages: list[Page] = []
    for query in queries:
        pages.append(page(query, most))
        if len(queries) > 1:
            most -= weight(pages[-1])
    return pages


def weight(page: Page) -> int:
    """Count the bytes of data in a page."""
    return sum(len(one.data) + len(one.opts) for one in page.entries)


def cut(entries: Iterable[Entry], most: int = MAX_PAGE) -> tuple[list[Entry], bool]:
    """Take the first entries up to `most` bytes of data; tells whether any was left out."""
    size = 0
    found: list[Entry] = []
    for entry in entries:
        size += len(entry.data) + len(entry.opts)
        if size > most and found:
            return found, True
        found.append(entry)
    return found, False


def cut_older(entries: Iterable[Entry], most: int = MAX_PAGE) -> tuple[list[Entry], bool]:
    """The same of entries that come the newest first; returns them in ascending order."""
    found, more = cut(entries, most)
    found.reverse()
    return found, more
