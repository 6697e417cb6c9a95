"""Whose names are whose: the first who comes with a token and a name owns it, whether here or not.

Invariant: a name has one owner, and no name that looks like it has another; at most MOST names are owned, and
the one whose owner has not come for longest is free again.
"""

from __future__ import annotations

from collections import OrderedDict

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.insisting import Insistence
from fastchat.identity.base import Identity
from fastchat.identity.names import looks
from fastchat.protocol.names import fold
from fastchat.protocol.values import load, pack

KIND = "name"  # facts: the subject is the name's key, the value [sub, name]
MOST = 100_000  # names: about 300 bytes each


class Owners:
    """The names that users with tokens own."""

    __slots__ = ("_facts", "_kept", "_names", "_looks")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._kept = Insistence(facts, KIND, self._value)
        self._names: OrderedDict[str, tuple[str, str]] = OrderedDict()  # by key; the last to come is last
        self._looks: dict[str, str] = {}  # keys of names by what they look like, where that is not the key
        self.load()

    def load(self) -> None:
        """Take what is kept; called again where that is known only later."""
        for (_, key), value in self._facts.of(KIND).items():
            sub, name = load(value)
            self._add(key, sub, name)

    def __len__(self) -> int:
        return len(self._names)

    def taken(self, name: str, identity: Identity) -> bool:
        """Tell whether the name, or one that looks like it, is somebody else's; to a guest all are."""
        for one in (fold(name), *looks(name)):
            for key in (one, self._looks.get(one)):
                owned = None if key is None else self._names.get(key)
                if owned is not None and (identity.guest or owned[0] != identity.sub):
                    return True
        return False

    def claim(self, identity: Identity, name: str) -> None:
        """Let somebody with a token own a name that nobody else does; nothing while that is not known.

        Raises ProtocolError STORE_UNAVAILABLE where that cannot be kept; then nothing is owned. While more
        waits for the store than may, it is kept later: nobody stays outside because others say much.
        """
        key = fold(name)
        if not self._facts.known:
            return  # it may be somebody else's
        if key in self._names:
            self._names.move_to_end(key)
            return
        facts = [Fact(KIND, "", key, _packed(identity.sub, name))]
        gone = next(iter(self._names)) if len(self._names) >= MOST else None
        if gone is not None:
            facts.append(Fact(KIND, "", gone, b""))
        try:
            self._kept.put(facts)
        except ProtocolError as refusal:
            if refusal.code is not Code.OVERLOADED:
                raise
            self._kept.later(facts)
        if gone is not None:
            self._remove(gone)
        self._add(key, identity.sub, name)

    def tick(self, now: int) -> None:
        """Keep what the store could not keep before."""
        self._kept.tick(now)

    def owner(self, key: str) -> str:
        """Return the `sub` of who owns a name, "" where nobody does."""
        owned = self._names.get(key)
        return "" if owned is None else owned[0]

    def _value(self, key: str) -> bytes:
        owned = self._names.get(key)
        return b"" if owned is None else _packed(*owned)

    def _add(self, key: str, sub: str, name: str) -> None:
        self._names[key] = sub, name
        for look in looks(name):
            if look != key:
                self._looks.setdefault(look, key)

    def _remove(self, key: str) -> None:
        _, name = self._names.pop(key)
        for look in looks(name):
            if self._looks.get(look) == key:
                del self._looks[look]


def _packed(sub: str, name: str) -> bytes:
    return pack([sub, name])
