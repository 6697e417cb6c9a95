"""Where the edits of a room's messages stand, so that a deletion need not look through the whole room.

Invariant: holds at most twice as many edits as the room keeps (and a few).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

FEW = 64  # edits not worth tidying


class Edits:
    """Two numbers per edit, 16 bytes: what it is about and its own offset, which only grows."""

    __slots__ = ("_targets", "_offsets")

    def __init__(self) -> None:
        self._targets = array("Q")
        self._offsets = array("Q")

    def __len__(self) -> int:
        return len(self._offsets)

    def note(self, target: int, offset: int, oldest: int) -> None:
        """Remember an edit; what is before `oldest` is not kept any more."""
        self._targets.append(target)
        self._offsets.append(offset)
        if len(self._offsets) > FEW:
            gone = bisect_left(self._offsets, oldest)
            if gone > len(self._offsets) // 2:
                del self._targets[:gone], self._offsets[:gone]

    def of(self, target: int) -> Iterator[int]:
        """The offsets of the edits of a message, oldest first."""
        at = -1
        while True:
            try:
                at = self._targets.index(target, at + 1)
            except ValueError:
                return
            yield self._offsets[at]
