"""Acts of moderation that were refused, for the audit log.

Invariant: one who tries again and again gets a line a minute, and all together MOST: the log cannot be filled
by those who may do nothing.
"""

from __future__ import annotations

from fastchat.engine.base import Record
from fastchat.errors import ProtocolError
from fastchat.hub.facts import Facts

MOST = 1000  # refusals in MINUTE that get a line
MINUTE = 60_000  # ms until the same refusal gets a line again


class Refusals:
    """What was refused in the last minute."""

    __slots__ = ("missed", "_facts", "_noted")

    def __init__(self, facts: Facts) -> None:
        self.missed = 0  # refusals without a line
        self._facts = facts
        self._noted: dict[tuple[str, str], int] = {}  # who and what: until when; the oldest first

    def note(self, record: Record) -> None:
        """Write a refusal down, unless there are too many."""
        who = (record.by, record.action)
        while self._noted:
            oldest = next(iter(self._noted))
            if self._noted[oldest] > record.ts:
                break
            del self._noted[oldest]
        if who in self._noted or len(self._noted) >= MOST:
            self.missed += 1
            return
        self._noted[who] = record.ts + MINUTE
        try:
            self._facts.put((), (record,))
        except ProtocolError:  # the store is busy or away: what was refused stays refused
            self.missed += 1
