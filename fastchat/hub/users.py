"""Who is here: users by the key under which their names are unique.

Invariant: a user is registered exactly as long as a session of theirs lives, and no two look alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastchat.identity.base import TOKEN_ID
from fastchat.identity.names import looks
from fastchat.protocol.codec import pack
from fastchat.protocol.names import fold

if TYPE_CHECKING:
    from random import Random

    from fastchat.hub.ladder import Conduct
    from fastchat.hub.session import Session


NO_BLOCKS: frozenset[str] = frozenset()  # shared: an empty one of its own would cost each session 216 bytes


class User:
    """One name and the sessions that bear it; a guest has one session."""

    __slots__ = ("name", "key", "packed", "id", "sessions", "blocks", "conduct", "formers")

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.key = name if key == name else key  # one object where they are equal
        self.packed = pack(name)
        self.id = ""  # `Identity.id`: what stays of who this is where the name does not
        self.sessions: tuple[Session, ...] = ()
        self.blocks = NO_BLOCKS  # keys of the users this one does not want to hear
        self.conduct: Conduct | None = None  # of who went over a limit
        # Of who is muted or slow somewhere: keys of the names under which that is so; None: of nobody else
        self.formers: tuple[str, ...] | None = None


    @property
    def owner(self) -> str:
        """Whose an idempotency key is: a guest comes back after a restart with nothing but the name."""
        return self.id if self.id.startswith(TOKEN_ID) else f"name:{self.key}"


class Users:
    """All users with a living session."""

    __slots__ = ("_users", "_looks")

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._looks: dict[str, User] = {}  # by what their names look like, where that is not the key

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[User]:
        return iter(self._users.values())

    def get(self, key: str) -> User | None:
        """Return the user whose name folds to this key."""
        return self._users.get(key)

    def alike(self, name: str) -> list[User]:
        """List the users whose names look like this one, in whatever case."""
        found = (user for look in looks(name) for user in (self._users.get(look), self._looks.get(look)))
        return list(dict.fromkeys(user for user in found if user is not None))

    def seat(self, session: Session, name: str) -> User:
        """Let the session bear a name that is free, or its own user's."""
        key = fold(name)
        user = self._users.get(key)
        if user is None:
            user = User(name, key)
            user.id = session.identity.id
            self._users[user.key] = user
            for look in looks(name):
                if look != key:
                    self._looks.setdefault(look, user)
        user.sessions = (*user.sessions, session)
        session.user = user
        return user

    def unseat(self, session: Session) -> User:
        """Take the session from its user, who is gone with the last one."""
        user = session.user
        user.sessions = tuple(one for one in user.sessions if one is not session)
        if not user.sessions:
            del self._users[user.key]
            for look in looks(user.name):
                if self._looks.get(look) is user:
                    del self._looks[look]
        return user

    def guest(self, random: Random) -> str:
        """Make up a name that is free."""
        while True:
            name = f"guest-{random.getrandbits(32):08x}"
            if not self.alike(name):
                return name
