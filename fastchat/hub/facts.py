"""What the hub knows beyond messages, by kind, room and subject: in memory here, kept by the engine.

Invariant: what `of` shows is kept. A fact is seen once the engine has said that it is, and at most MOST of a
kind are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from fastchat.engine.base import Engine, Fact, Record
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import EXPIRE_MOST, MAX_MARKS, MAX_SEEN, RETRY_MS

MOST: Mapping[str, int] = {  # facts of a kind over all rooms: about 300 bytes each
    "role": 50_000,
    "ban": 100_000,
    "mute": 100_000,
    "room": 50_000,
    "mark": MAX_MARKS + EXPIRE_MOST,  # `lots` lets the oldest go for a lot of new ones
    "name": 200_000,
    "seen": MAX_SEEN + EXPIRE_MOST,
    "jti": 100_000,
}

Then: TypeAlias = Callable[[ProtocolError | None], None]  # told None once it is kept, else why it is not


class Keeping(NamedTuple):
    """Facts on their way to the engine; the ticket of `Engine.keep`."""

    facts: Sequence[Fact]
    new: Mapping[str, int]  # how many of each kind, counted against its limit until they are kept
    then: Then


def ignore(refusal: ProtocolError | None) -> None:
    """Need to know nothing of what becomes of it."""


class Facts:
    """All facts of one server."""

    __slots__ = ("known", "_engine", "_kinds", "_coming")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kinds: dict[str, dict[tuple[str, str], bytes]] = {kind: {} for kind in MOST}
        self._coming = dict.fromkeys(MOST, 0)  # new ones under way, at most
        self.known = False  # what is kept; until then nothing can be
        found = engine.facts()
        if found is not None:
            self.take(found)

    def take(self, facts: Sequence[Fact]) -> None:
        """Take all that is kept."""
        self.known = True
        for fact in facts:
            self._kinds.setdefault(fact.kind, {})[fact.room, fact.subject] = fact.value

    def of(self, kind: str) -> Mapping[tuple[str, str], bytes]:
        """All of a kind, by room and subject; not to be changed."""
        return self._kinds[kind]

    def get(self, kind: str, room: str, subject: str) -> bytes | None:
        """The value of a fact, None where there is none."""
        return self._kinds[kind].get((room, subject))

    def put(self, facts: Sequence[Fact], records: Sequence[Record] = (), then: Then = ignore) -> None:
        """Keep these, all or none, and call `then`: at once or later, but before that of a later `put`.

        Raises ProtocolError (OVERLOADED where there are too many of a kind, and those of `Engine.keep`);
        then `then` is not called.
        """
        new = self._new(facts)
        for kind, count in new.items():
            if len(self._kinds[kind]) + self._coming[kind] + count > MOST[kind]:
                text = f"the server keeps no more than {MOST[kind]:,} facts of the kind {kind!r}"
                raise ProtocolError(Code.OVERLOADED, text, retry_ms=RETRY_MS)
        keeping = Keeping(facts, new, then)
        done = self._engine.keep(facts, records, keeping)
        for kind, count in new.items():
            self._coming[kind] += count
        if done:
            self.kept(keeping)

    def kept(self, keeping: Keeping) -> None:
        """Take it that the engine keeps them."""
        self._settle(keeping)
        for kind, room, subject, value in keeping.facts:
            self._kinds[kind].pop((room, subject), None)
            if value:
                self._kinds[kind][room, subject] = value  # what was put last stands last
        keeping.then(None)

    def failed(self, keeping: Keeping, refusal: ProtocolError) -> None:
        """Take it that the engine keeps nothing of them."""
        self._settle(keeping)
        keeping.then(refusal)

    def _settle(self, keeping: Keeping) -> None:
        for kind, count in keeping.new.items():
            self._coming[kind] -= count

    def _new(self, facts: Sequence[Fact]) -> dict[str, int]:
        """Count by kind what takes nobody's place, not even that of one forgotten with it."""
        counts: dict[str, int] = {}
        for kind, room, subject, value in facts:
            known = (room, subject) in self._kinds[kind]
            if known != bool(value):
                counts[kind] = counts.get(kind, 0) + (1 if value else -known)
        return {kind: count for kind, count in counts.items() if count > 0}
