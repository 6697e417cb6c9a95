"""Facts that count before they are kept, and are put again until they are.

Invariant: what the engine could not keep is tried again every AGAIN_MS, with the value that counts by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from fastchat.engine.base import Fact
from fastchat.errors import ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.limits import EXPIRE_MOST

AGAIN_MS = 1000  # ms until a store that failed is asked again


class Insistence:
    """The facts of one kind that are about the whole server."""

    __slots__ = ("_facts", "_kind", "_value", "_again", "_due")

    def __init__(self, facts: Facts, kind: str, value: Callable[[str], bytes]) -> None:
        self._facts = facts
        self._kind = kind
        self._value = value  # of a subject as it counts, empty where it does not
        self._again: dict[str, None] = {}  # subjects that are not kept as they count
        self._due = 0

    def __len__(self) -> int:
        return len(self._again)

    def put(self, facts: Sequence[Fact]) -> None:
        """Keep these; raises ProtocolError where the engine refuses at once, and then insists on nothing."""

        def then(refusal: ProtocolError | None) -> None:
            for fact in facts:
                if refusal is None:
                    self._again.pop(fact.subject, None)
                else:
                    self._again[fact.subject] = None

        self._facts.put(facts, (), then)

    def later(self, facts: Sequence[Fact]) -> None:
        """Keep these with the next try."""
        self._again.update((fact.subject, None) for fact in facts)

    def tick(self, now: int) -> None:
        """Try again what is not kept, if it is time."""
        if not self._again or now < self._due:
            return
        self._due = now + AGAIN_MS
        subjects = list(islice(self._again, EXPIRE_MOST))
        for subject in subjects:
            del self._again[subject]
        try:
            self.put([Fact(self._kind, "", subject, self._value(subject)) for subject in subjects])
        except ProtocolError:
            self._again.update(dict.fromkeys(subjects))
