"""When tokens end: which sessions are to go at what time.

Invariant: a session is here exactly while it lives and its token has an end; one tick takes MOST at most.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastchat.hub.session import Session

GRAIN_MS = 100  # ms: hub.tick comes so often; sessions of one grain share an entry of the heap
MOST = 100  # sessions that one tick ends: some milliseconds of work where all are in some rooms


class Expiry:
    """The sessions whose tokens end, by time."""

    __slots__ = ("_grains", "_heap")

    def __init__(self) -> None:
        self._grains: dict[int, dict[Session, None]] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._grains.values()))

    def add(self, session: Session) -> None:
        """Let the session end with its identity; to be removed before that changes."""
        if not session.identity.expires:
            return
        grain = -(-session.identity.expires // GRAIN_MS)
        sessions = self._grains.get(grain)
        if sessions is None:
            sessions = self._grains[grain] = {}
            heappush(self._heap, grain)
        sessions[session] = None

    def remove(self, session: Session) -> None:
        """Let it go on without an end."""
        sessions = self._grains.get(-(-session.identity.expires // GRAIN_MS))
        if sessions is not None:
            sessions.pop(session, None)

    def due(self, now: int) -> list[Session]:
        """Return sessions whose time is over, at most MOST; they are no longer here."""
        found: list[Session] = []
        while self._heap and self._heap[0] * GRAIN_MS <= now and len(found) < MOST:
            sessions = self._grains[self._heap[0]]
            while sessions and len(found) < MOST:
                found.append(sessions.popitem()[0])
            if not sessions:
                del self._grains[heappop(self._heap)]
        return found
