"""Facts that change often and of which one lost is no harm: they count at once and are kept in lots.

Invariant: one lot at a time is on its way to the engine, but for the last, and what is not kept is tried
again; at most `most` of the kind are kept, the longest unchanged give way.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import islice

from fastchat.engine.base import Fact
from fastchat.errors import ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.limits import EXPIRE_MOST, LOT_MS

Key = tuple[str, str]  # room, subject


class Lots:
    """The facts of one kind, given to the engine together every `period` ms."""

    __slots__ = ("waiting", "_facts", "_kind", "_most", "_period", "_sent", "_due")

    def __init__(self, facts: Facts, kind: str, most: int, period: int) -> None:
        self.waiting: OrderedDict[Key, bytes] = OrderedDict()  # not kept yet, the last changed last
        self._facts = facts
        self._kind = kind
        self._most = most
        self._period = period
        self._sent = 0  # lots that are on their way
        self._due = 0

    def get(self, room: str, subject: str) -> bytes | None:
        """The value as it is now, None where there is none."""
        return self.waiting.get((room, subject)) or self._facts.get(self._kind, room, subject)

    def put(self, room: str, subject: str, value: bytes) -> None:
        """Let this be the value from now on."""
        self.waiting[room, subject] = value
        self.waiting.move_to_end((room, subject))
        if len(self.waiting) > self._most:
            self.waiting.popitem(last=False)

    def flush(self, now: int, last: bool = False) -> None:
        """Give the engine what waits, if it is time and the lot before is kept, or it is the `last` time."""
        if not self.waiting or ((self._sent or now < self._due) and not last):
            return
        self._due = now + (self._period if len(self.waiting) <= EXPIRE_MOST else min(self._period, LOT_MS))
        lot = [
            Fact(self._kind, *key, value)
            for key, value in islice(self.waiting.items(), None if last else EXPIRE_MOST)
        ]
        done = partial(self._done, lot)
        self._sent += 1
        try:
            self._facts.put([*self._oldest(lot), *lot], (), done)
        except ProtocolError as refusal:
            done(refusal)

    def _oldest(self, lot: list[Fact]) -> list[Fact]:
        """Forget as many of the longest unchanged as are too many with these."""
        kept = self._facts.of(self._kind)
        coming = {(room, subject) for _, room, subject, _ in lot}
        over = len(kept) + len(coming - kept.keys()) - self._most
        if over <= 0:
            return []
        oldest = islice((key for key in kept if key not in coming), over)
        return [Fact(self._kind, *key, b"") for key in oldest]

    def _done(self, lot: list[Fact], refusal: ProtocolError | None) -> None:
        """Let go of what is kept; what is not is tried again."""
        self._sent -= 1
        for _, room, subject, value in lot if refusal is None else ():
            if self.waiting.get((room, subject)) == value:
                del self.waiting[room, subject]
