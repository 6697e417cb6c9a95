"""One room as an asynchronous iterator.

Invariant: messages come in the room's order, each once, across reconnections; what cannot come is told by
`everything`, and logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fastchat.client.events import Ack, Change, Joined, Left, Message, Position, RoomEvent
from fastchat.client.failures import Refused
from fastchat.client.inbox import Inbox
from fastchat.client.moderation import Moderation


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a room is to be joined."""

    history: int = 0
    since: Position | None = None
    presence: bool = False
    token: str | None = None


class Host(Protocol):
    """What a room needs of its chat."""

    def position(self, room: str) -> Position | None:
        """Where the room stands, None where this client is not in it."""

    async def history(
        self, room: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Message | Change]:
        """Stored messages."""

    async def leave(self, room: str) -> None:
        """Leave the room."""

    async def edit(self, room: str, offset: int, data: object) -> Ack: ...

    async def delete(self, room: str, offset: int) -> Ack: ...

    async def react(self, room: str, offset: int, emoji: str, on: bool = True) -> Ack: ...

    async def mark(self, room: str, offset: int | None = None) -> int: ...

    async def moderate(
        self,
        room: str,
        action: str,
        user: str = "",
        *,
        seconds: int = 0,
        reason: str | None = None,
        address: bool = False,
        members: int = 0,
    ) -> None: ...


class Room(Moderation):
    """Messages of one room: `async for message in chat.room("lobby")`.

    The room is joined when iteration begins. `async with` joins at once and leaves at the end. When the
    server takes the room away, iterating raises Refused.
    """

    def __init__(
        self,
        name: str,
        wanted: Wanted,
        host: Host,
        join: Callable[[str, Wanted], Awaitable[Joined]],
        taken: Callable[[], None],
    ) -> None:
        self.name = name
        self.wanted = wanted
        self._host = host
        self._join = join
        self._inbox: Inbox[RoomEvent] = Inbox(taken)
        self._begun = False
        self._beginning = asyncio.Lock()

    @property
    def position(self) -> Position | None:
        """(epoch, offset) of what came last: keep it, and `since` goes on from there later."""
        return self._host.position(self.name)

    @property
    def bytes(self) -> int:
        """What waits to be taken."""
        return self._inbox.bytes

    async def join(self) -> None:
        """Join the room and begin to gather its messages. Refused: the server does not let us in."""
        async with self._beginning:
            if not self._begun:
                await self._begin()

    async def leave(self) -> None:
        """Leave the room; iteration ends after what is already here."""
        self._inbox.end()
        await self._host.leave(self.name)

    async def edit(self, offset: int, data: object) -> Ack:
        """Put other data in place of a message of ours."""
        return await self._host.edit(self.name, offset, data)

    async def delete(self, offset: int) -> Ack:
        """Take a message back: ours, or anybody's for who moderates the room."""
        return await self._host.delete(self.name, offset)

    async def react(self, offset: int, emoji: str, on: bool = True) -> Ack:
        """Put an emoji to a message, or take it back."""
        return await self._host.react(self.name, offset, emoji, on)

    async def mark(self, offset: int | None = None) -> int:
        """Keep on the server up to where we have read; gives where the mark stands."""
        return await self._host.mark(self.name, offset)

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
        """Act on a user in this room, or on the room itself, by the name of the action."""
        await self._host.moderate(
            self.name, action, user, seconds=seconds, reason=reason, address=address, members=members
        )

    def take(self, event: RoomEvent, size: int) -> None:
        """Take an event of this room (called by the chat)."""
        if self._begun:
            self._inbox.put(event, size)
        if isinstance(event, Left):
            self._inbox.end(Refused(event.code, event.text))

    def end(self, failure: BaseException | None) -> None:
        """Nothing more comes (called by the chat)."""
        self._inbox.end(failure)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while True:
            event = await self.get()
            if isinstance(event, Message):
                return event

    async def get(self) -> RoomEvent:
        """The next message or other event of the room; StopAsyncIteration when the chat was closed."""
        if not self._begun:
            await self.join()
        return await self._inbox.get()

    async def everything(self) -> AsyncIterator[RoomEvent]:
        """Iterate over messages, changes, gaps, losses, presence and notices alike."""
        while True:
            try:
                event = await self.get()
            except StopAsyncIteration:
                return
            yield event

    async def __aenter__(self) -> Room:
        await self.join()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.leave()

    async def _begin(self) -> None:
        standing = self._host.position(self.name)
        self._begun = True  # from here on what arrives is gathered
        try:
            if standing is None or self.wanted.presence:
                await self._join(self.name, self.wanted)
            if standing is not None and self.wanted.history:
                older = await self._host.history(self.name, before=standing[1] + 1, limit=self.wanted.history)
                self._inbox.put_first([event for event in older if event.offset <= standing[1]], 0)
        except BaseException:
            self._begun = False
            raise
