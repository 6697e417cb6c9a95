"""Who is in a room and in what state, and what the watchers have not been told of it yet.

Invariant: whoever applies a watcher's snapshot and then every diff knows the members as they are, in rooms
that stay small; a name that came and went between two diffs is in neither. The cost is per change, never
per member.
"""

from __future__ import annotations

from typing import NamedTuple

from fastchat.hub.users import User
from fastchat.protocol.codec import NIL, member


class Member(NamedTuple):
    """A user in a room."""

    user: User
    state: bytes  # a msgpack map, or nil
    since: int  # server time in ms
    sessions: int  # how many of the user's are in the room
    by: object = None  # which of them set the state

    def packed(self) -> bytes:
        """Encode [user, state, since]."""
        return member(self.user.packed, self.state, self.since)


class Diff(NamedTuple):
    """What the watchers are to be told."""

    joined: list[bytes]  # [user, state, since]: new, or changed
    left: list[bytes]  # packed names


class Presence:
    """The members of one room; with `watched`, changes are gathered for `take`."""

    __slots__ = ("members", "watched", "_limit", "_before", "_settled", "_large")

    def __init__(self, limit: int) -> None:
        self.members: dict[str, Member] = {}
        self.watched = False
        self._limit = limit  # above this many members only the count is told
        # What the watchers knew of each name that has changed since the last diff: None, or the member.
        self._before: dict[str, Member | None] = {}
        # What watchers know different things of is told in any case: the names any of them may know.
        self._settled: dict[str, set[bytes]] = {}
        self._large = False  # it was above the limit at some time since the last diff

    def __len__(self) -> int:
        return len(self.members)

    @property
    def large(self) -> bool:
        """Whether only the count is told."""
        return len(self.members) > self._limit

    @property
    def counted(self) -> bool:
        """Whether the count has to be told, for it changed while the room was large."""
        return self._large

    @property
    def changed(self) -> bool:
        """Whether a diff waits."""
        return bool(self._before or self._settled or self._large)

    def join(self, user: User, now: int) -> None:
        """Count one more session of the user in."""
        old = self.members.get(user.key)
        if old is not None:
            self.members[user.key] = old._replace(sessions=old.sessions + 1)
            return
        known = self._before.get(user.key)
        if known is not None and known.user.name == user.name:
            now = known.since  # for the watchers this user was never away
        self._note(user.key)
        self.members[user.key] = Member(user, NIL, now, 1)
        if self.watched and self.large:
            self._count_only()

    def leave(self, user: User, by: object = None) -> None:
        """Count one session of the user out, and let go of the state if it set that."""
        old = self.members[user.key]
        if old.sessions > 1:
            if old.by is by and old.state != NIL:
                self._note(user.key)
                old = old._replace(state=NIL, by=None)
            self.members[user.key] = old._replace(sessions=old.sessions - 1)
            return
        self._note(user.key)
        del self.members[user.key]

    def set_state(self, user: User, state: bytes, by: object = None) -> None:
        """Let the user be in this state, a msgpack map that one session has set; an empty one is none."""
        self._note(user.key)
        old = self.members[user.key]
        self.members[user.key] = old._replace(state=NIL if state == b"\x80" else state, by=by)

    def _note(self, key: str) -> None:
        if not self.watched:
            return
        if self.large:
            self._count_only()
        elif not self._large:
            self._change(key, self.members.get(key))

    def _change(self, key: str, before: Member | None) -> None:
        names = self._settled.get(key)
        if names is None:
            self._before.setdefault(key, before)
        elif before is not None:
            names.add(before.user.packed)

    def _count_only(self) -> None:
        self._large = True
        self._before.clear()
        self._settled.clear()

    def watch(self, user: User) -> None:
        """Expect a watcher who gets the members as they are now, this user's session.

        What waits is news to the others but not to this one, so from here it can no longer cancel out.
        """
        self.watched = True
        waiting, self._before = self._before, {}
        if user.key in waiting:
            self._before[user.key] = waiting.pop(user.key)
        for key, before in waiting.items():
            now = self.members.get(key)
            self._settled[key] = {one.user.packed for one in (before, now) if one is not None}

    def unwatch(self) -> None:
        """Gather nothing any more: nobody watches."""
        self.watched = False
        self.take()

    def take(self) -> Diff:
        """Return what the watchers do not know yet, and begin anew; empty lists in a large room."""
        diff = Diff([], [])
        for key, names in self._settled.items():
            after = self.members.get(key)
            if after is not None:
                diff.joined.append(after.packed())
                names.discard(after.user.packed)
            diff.left.extend(sorted(names))
        for key, before in self._before.items():
            after = self.members.get(key)
            if before is not None and (after is None or after.user.name != before.user.name):
                diff.left.append(before.user.packed)
                before = None
            if after is not None and (before is None or after[1:3] != before[1:3]):
                diff.joined.append(after.packed())
        self._before.clear()
        self._settled.clear()
        self._large = False
        return diff
