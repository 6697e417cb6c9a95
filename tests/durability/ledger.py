"""What was said, promised and seen in a room that survives its server, and what cannot be true of it.

It knows nothing of the server: only what clients sent and got. Each text is said once, under a key of its
own, until it is acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

MOST_FAULTS = 100  # of them all the first are worth reading


class Place(NamedTuple):
    """Where a message stands."""

    epoch: str
    offset: int


class Ledger:
    """One room; `faults` is the outcome, `seen` says how much was looked at."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.seen = Counter[str]()
        self.sent: set[str] = set()
        self.promised: dict[str, Place] = {}  # text: where its acknowledgement says it stands
        self.last = Place("", 0)  # what was acknowledged last
        self._texts: dict[Place, str] = {}
        self._places: dict[str, Place] = {}

    def fault(self, text: str) -> None:
        self.seen["faults"] += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)

    def send(self, text: str) -> None:
        """Note that somebody says this, for the first time or again."""
        self.seen["sent again" if text in self.sent else "sent"] += 1
        self.sent.add(text)

    def promise(self, epoch: str, offset: int, text: str, duplicate: bool) -> None:
        """Note an acknowledgement: the message is stored there."""
        self.seen["acknowledged as seen before" if duplicate else "acknowledged"] += 1
        self.last = place = Place(epoch, offset)
        if self.promised.setdefault(text, place) != place:
            self.fault(f"promised twice: {text!r} at {self.promised[text]} and {place}")
        self.note(epoch, offset, text)

    def note(self, epoch: str, offset: int, text: str) -> None:
        """Note that this stands there, as somebody was told."""
        place = Place(epoch, offset)
        if self._texts.setdefault(place, text) != text:
            self.fault(f"offset reused: {place} is {self._texts[place]!r} and {text!r}")
        if self._places.setdefault(text, place) != place:
            self.fault(f"duplicated: {text!r} stands at {self._places[text]} and {place}")
        if text not in self.sent:
            self.fault(f"invented: nobody said {text!r}, and it stands at {place}")

    def settle(self, epoch: str, stored: Iterable[tuple[int, str]]) -> None:
        """Compare everything with the room as it is stored in the end; nothing is under way any more."""
        kept: dict[str, Place] = {}
        expected = 1
        for offset, text in stored:
            if offset != expected:
                self.fault(f"not contiguous: {offset} follows {expected - 1}")
            expected = offset + 1
            self.note(epoch, offset, text)
            kept.setdefault(text, Place(epoch, offset))
        self.seen["stored"] += len(kept)
        for text, place in self.promised.items():
            if kept.get(text) != place:
                self.fault(f"lost: {text!r} was acknowledged at {place}")
        for text, place in self._places.items():
            if kept.get(text) != place and text not in self.promised:
                self.fault(f"lost: {text!r} was seen at {place}")
        for text in self.sent - self.promised.keys():
            self.fault(f"never acknowledged: {text!r}")


class Member:
    """One client in the room: everything after its first position comes once, in order, or is announced."""

    def __init__(self, ledger: Ledger, name: str, may_lose: bool = False) -> None:
        """`may_lose`: the room keeps so little that it may be left behind, if it is told."""
        self.may_lose = may_lose
        self.ledger = ledger
        self.name = name
        self.epoch = ""
        self.position: int | None = None  # None: it was never there

    @property
    def since(self) -> tuple[str, int] | None:
        return None if self.position is None else (self.epoch, self.position)

    def join(
        self, epoch: str, newest: int, recovered: bool | None, entries: Iterable[tuple[int, str]]
    ) -> None:
        """Take the result of a JOIN with `since`."""
        if self.position is None:
            self.epoch, self.position = epoch, newest
            return
        self.ledger.seen["recovered" if recovered else "not recovered"] += 1
        if not recovered or epoch != self.epoch:
            if recovered or not self.may_lose or epoch != self.epoch:
                self.ledger.fault(
                    f"{self.name} stood at {self.since} and was not recovered: {epoch} {newest}"
                )
            self.epoch, self.position = epoch, newest
            return
        for offset, text in entries:
            self.hear(offset, text)
        if self.position != newest:
            self.ledger.fault(f"{self.name} was recovered to {self.position} of {newest}")
            self.position = newest

    def hear(self, offset: int, text: str) -> None:
        """Take a message, live or recovered."""
        self.ledger.seen["heard"] += 1
        if self.position is None or offset != self.position + 1:
            self.ledger.fault(f"{self.name} stood at {self.position} and got {offset}")
        self.position = offset
        self.ledger.note(self.epoch, offset, text)

    def settle(self, newest: Place) -> None:
        """Nothing is under way any more."""
        if (self.epoch, self.position) != newest:
            self.ledger.fault(f"{self.name} stands at {self.since} of {newest}")
