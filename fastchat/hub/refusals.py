"""Acts of moderation for the audit log of which nothing is kept: those that were refused, and kicks.

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
        self.missed = 0  # that have no line
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
        self.write(record)

    def write(self, record: Record) -> None:
        """Write down what stays as it is though the store be busy or away."""
        try:
            self._facts.put((), (record,), self._written)
        except ProtocolError as refusal:
            self._written(refusal)

    def _written(self, refusal: ProtocolError | None) -> None:
        self.missed += refusal is not None
