"""The client for scripts without asyncio: the same methods, on a loop in a thread of its own.

Invariant: every call blocks until its answer, an exception or its time-out; the thread ends with `close`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from fastchat.client.chat import Chat
from fastchat.client.events import Ack, Change, Event, Joined, Members, Message, Position, RoomEvent
from fastchat.client.inbox import Stream
from fastchat.client.room import Room

T = TypeVar("T")


class Background:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="fastchat client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait for it here; Ctrl-C here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


class SyncStream(Iterator[T]):
    """A blocking iterator over something asynchronous."""

    def __init__(self, background: Background, get: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._background = background
        self._get = get

    def __next__(self) -> T:
        try:
            return self.get()
        except EOFError:
            raise StopIteration from None

    def get(self, timeout: float | None = None) -> T:
        """The next one; TimeoutError after `timeout` seconds, EOFError when there will be none."""
        return self._background.run(self._next(timeout))

    async def _next(self, timeout: float | None) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await self._get()
        except StopAsyncIteration:
            raise EOFError("the chat was closed") from None


class SyncRoom(SyncStream[Message]):
    """Messages of one room: `for message in chat.room("lobby")`."""

    def __init__(self, background: Background, room: Room) -> None:
        super().__init__(background, room.__anext__)
        self._room = room

    @property
    def position(self) -> Position | None:
        """(epoch, offset) of what came last: keep it, and `since` goes on from there later."""
        return self._room.position

    def everything(self) -> SyncStream[RoomEvent]:
        """Iterate over messages, changes, gaps, losses, presence and notices alike."""
        return SyncStream(self._background, self._room.get)

    def join(self) -> None:
        """Join now, not at the first message."""
        self._background.run(self._room.join())

    def leave(self) -> None:
        """Leave the room."""
        self._background.run(self._room.leave())


class SyncChat:
    """A user on a server, for code that blocks; see `Chat` for what each method does and raises."""

    def __init__(self, make: Callable[[], Chat]) -> None:
        self._make = make

    def __enter__(self) -> SyncChat:
        self._background = Background()
        try:
            self._chat = self._background.run(self._open())
        except BaseException:
            self._background.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def _open(self) -> Chat:
        chat = self._make()
        await chat.open()
        return chat

    def close(self) -> None:
        """Leave; what was sent still arrives."""
        self._background.run(self._chat.close())
        self._background.stop()

    @property
    def user(self) -> str:
        return self._chat.user

    def publish(
        self,
        room: str,
        data: object,
        *,
        key: str | None = None,
        echo: bool = True,
        ephemeral: bool = False,
        ttl_ms: int = 0,
        reply_to: int = 0,
        mentions: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Ack:
        return self._background.run(
            self._chat.publish(
                room,
                data,
                key=key,
                echo=echo,
                ephemeral=ephemeral,
                ttl_ms=ttl_ms,
                reply_to=reply_to,
                mentions=mentions,
                timeout=timeout,
            )
        )

    def edit(self, room: str, offset: int, data: object) -> Ack:
        return self._background.run(self._chat.edit(room, offset, data))

    def delete(self, room: str, offset: int) -> Ack:
        return self._background.run(self._chat.delete(room, offset))

    def react(self, room: str, offset: int, emoji: str, on: bool = True) -> Ack:
        return self._background.run(self._chat.react(room, offset, emoji, on))

    def mark(self, room: str, offset: int | None = None) -> int:
        return self._background.run(self._chat.mark(room, offset))

    def moderate(
        self,
        room: str,
        action: str,
        user: str = "",
        *,
        seconds: int = 0,
        reason: str | None = None,
        address: bool = False,
        members: int = 0,
    ) -> None:
        doing = self._chat.moderate(
            room, action, user, seconds=seconds, reason=reason, address=address, members=members
        )
        self._background.run(doing)

    def direct(self, user: str, data: object, *, key: str | None = None) -> int:
        return self._background.run(self._chat.direct(user, data, key=key))

    def history(
        self, room: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Message | Change]:
        return self._background.run(self._chat.history(room, after=after, before=before, limit=limit))

    def presence(self, room: str, *, limit: int = 100) -> Members:
        return self._background.run(self._chat.presence(room, limit=limit))

    def state(self, room: str, state: Mapping[str, Any]) -> None:
        self._background.run(self._chat.state(room, state))

    def block(self, user: str, on: bool = True) -> None:
        self._background.run(self._chat.block(user, on))

    def signal(self, user: str, data: object) -> int:
        return self._background.run(self._chat.signal(user, data))

    def ping(self, *, timeout: float | None = None) -> float:
        return self._background.run(self._chat.ping(timeout=timeout))

    def join(self, room: str, *, history: int = 0, since: Position | None = None) -> Joined:
        return self._background.run(self._chat.join(room, history=history, since=since))

    def leave(self, room: str) -> None:
        self._background.run(self._chat.leave(room))

    def room(
        self, name: str, *, history: int = 0, since: Position | None = None, presence: bool = False
    ) -> SyncRoom:
        async def make() -> Room:
            return self._chat.room(name, history=history, since=since, presence=presence)

        return SyncRoom(self._background, self._background.run(make()))

    def events(self) -> SyncStream[Event]:
        async def make() -> Stream[Event]:
            return self._chat.events()

        return SyncStream(self._background, self._background.run(make()).__anext__)
