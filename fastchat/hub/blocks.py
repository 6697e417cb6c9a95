"""Who does not want to hear whom, looked up from the side of the one who speaks.

Invariant: `by` has an entry for exactly the pairs in the `blocks` of users with a living session.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import MAX_BLOCKS
from fastchat.hub.users import User


class Blocks:
    """The blocks of all users who are here; names that are blocked need not be."""

    __slots__ = ("by",)

    def __init__(self) -> None:
        self.by: dict[str, set[str]] = {}  # key of the blocked: keys of those who block

    def add(self, user: User, keys: Iterable[str]) -> None:
        """Let `user` block these; raises ProtocolError BAD_ARGUMENT beyond MAX_BLOCKS."""
        blocks = user.blocks.union(keys)
        if blocks == user.blocks:
            return  # an idle session keeps no frozenset of its own
        if len(blocks) > MAX_BLOCKS:
            raise ProtocolError(Code.BAD_ARGUMENT, f"at most {MAX_BLOCKS} users can be blocked", field="user")
        for key in blocks - user.blocks:
            self.by.setdefault(key, set()).add(user.key)
        user.blocks = blocks

    def remove(self, user: User, keys: Iterable[str]) -> None:
        """Let `user` hear these again."""
        gone = user.blocks.intersection(keys)
        for key in gone:
            blockers = self.by[key]
            blockers.discard(user.key)
            if not blockers:
                del self.by[key]
        user.blocks -= gone
