"""What moderators do in a room, one method an action; `moderate` carries them out.

Invariant: nothing is decided here: the server knows who may do what to whom, and refuses (203).
"""

from __future__ import annotations


class Moderation:
    """Shortcuts over `moderate`. `seconds`: how long, 0 for good. All raise Refused."""

    async def moderate(
        self,
        action: str,
        user: str = "",
        *,
        seconds: int = 0,
        reason: str | None = None,
        address: bool = False,
        members: int = 0,
    ) -> None:
        """Carry out an action by its name."""
        raise NotImplementedError

    async def kick(self, user: str, reason: str | None = None) -> None:
        """Turn somebody out; they may come again."""
        await self.moderate("kick", user, reason=reason)

    async def ban(
        self, user: str, seconds: int = 0, reason: str | None = None, *, address: bool = False
    ) -> None:
        """Turn somebody out and keep them out; with `address`, whoever comes from where they are as well."""
        await self.moderate("ban", user, seconds=seconds, reason=reason, address=address)

    async def unban(self, user: str) -> None:
        """Let somebody in again."""
        await self.moderate("unban", user)

    async def mute(self, user: str, seconds: int = 0, reason: str | None = None) -> None:
        """Let somebody read only."""
        await self.moderate("mute", user, seconds=seconds, reason=reason)

    async def unmute(self, user: str) -> None:
        """Let somebody speak again."""
        await self.moderate("unmute", user)

    async def slow(self, seconds: int) -> None:
        """Let members speak once in so many seconds; 0: as often as they like."""
        await self.moderate("slow", seconds=seconds)

    async def lock(self) -> None:
        """Let only moderators speak, and nobody else join."""
        await self.moderate("lock")

    async def unlock(self) -> None:
        """Let everybody speak and join again."""
        await self.moderate("unlock")

    async def cap(self, members: int) -> None:
        """Let at most so many into the room; 0: as many as its options say."""
        await self.moderate("cap", members=members)

    async def op(self, user: str) -> None:
        """Make somebody a moderator of the room."""
        await self.moderate("op", user)

    async def deop(self, user: str) -> None:
        """Take that back."""
        await self.moderate("deop", user)
