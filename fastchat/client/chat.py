"""The client's face: connect, publish, read rooms.

Invariant: every method that asks the server something ends, with an answer or a FastChatError, within its
time-out.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from fastchat.client.acts import Acts
from fastchat.client.address import Address
from fastchat.client.core import Core
from fastchat.client.driver import Driver, Hooks
from fastchat.client.events import Event, Joined, Left, Lost, Position
from fastchat.client.failures import Closed, Refused
from fastchat.client.feed import Feed
from fastchat.client.inbox import Inbox, Stream
from fastchat.client.requests import Kind
from fastchat.client.room import Room, Wanted
from fastchat.client.tokens import Token, Tokens
from fastchat.errors import Code, FastChatError
from fastchat.protocol import messages as wire

LOG = logging.getLogger("fastchat.client")

QUEUE_BYTES = 1024 * 1024  # what may wait for consumers before the socket is no longer read
TIMEOUT = 10.0  # seconds for an answer, reconnecting included
KEY_BYTES = 12  # of chance in an idempotency key: no two of a user in 5 minutes are alike
CONNECT_SECONDS = 10.0  # for one attempt, until CONNECT is answered


class Chat(Acts):
    """A user on a server; made by `connect`, used as `async with`.

    A lost connection is made again by itself: rooms go on where they stood, and what was published
    without an answer is sent again under its key. Every method raises `Refused` when the server says no,
    `RequestTimeout` without an answer in time, `Closed` after `close`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        token: Token | None = None,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
        queue_bytes: int = QUEUE_BYTES,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        address = Address.parse(url)
        if address.tls and tls is None:
            tls = ssl.create_default_context()
        self.url = address.url
        self._timeout = timeout
        text = token if isinstance(token, str) else None
        self._core = Core(name=name, token=text, renewable=token is not None and text is None)
        self._rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._streams: WeakSet[Inbox[Event]] = WeakSet()
        self._joining: dict[str, asyncio.Lock] = {}
        hooks = Hooks(self._queued, self._deliver, self._ended)
        self._driver = Driver(
            self._core, address, hooks, Tokens(token, self._core), tls, connect_seconds, queue_bytes
        )

    # life

    async def open(self) -> None:
        """Connect. CannotConnect: nobody there, or no fastchat server; Refused: not let in."""
        await self._driver.start()

    async def close(self) -> None:
        """Leave; what was sent still arrives, iterations end."""
        await self._driver.stop(Closed("the chat was closed"))

    async def __aenter__(self) -> Chat:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def user(self) -> str:
        """The name the server knows us by."""
        return self._core.passport.user

    # rooms

    def room(
        self,
        name: str,
        *,
        history: int = 0,
        since: Position | None = None,
        presence: bool = False,
        token: str | None = None,
    ) -> Room:
        """A room to iterate over; asking again for the same gives the same.

        `history`: so many of the newest messages first. `since`: (epoch, offset) to go on from, as
        `Room.position` gave it. `presence`: ask to be told who comes and goes.
        """
        wanted = Wanted(history, since, presence, token)
        room = self._rooms.get(name)
        if room is None:
            if since is not None and self.position(name) is not None:
                raise ValueError(f"already in {name}: use history(after=...) for what was before")
            room = self._rooms[name] = Room(name, wanted, self, self._join, self._driver.regulate)
        elif wanted not in (Wanted(), room.wanted):
            raise ValueError(f"{name} is being read already, with other options")
        return room

    async def join(
        self,
        room: str,
        *,
        history: int = 0,
        since: Position | None = None,
        presence: bool = False,
        token: str | None = None,
    ) -> Joined:
        """Join a room without iterating over it: its messages come to `events`, if anybody listens."""
        return await self._join(room, Wanted(history, since, presence, token))

    async def leave(self, room: str) -> None:
        """Leave a room."""
        reader = self._rooms.pop(room, None)
        if reader is not None:
            reader.end(None)
        try:
            await self._driver.call(lambda now: self._core.leave(room, now), self._timeout)
        except Refused as refusal:
            if refusal.code != Code.NOT_A_MEMBER:  # that is what was wanted
                raise

    def position(self, room: str) -> Position | None:
        """(epoch, offset) of what came last of a room; None where this client is not in it."""
        feed = self._core.feeds.get(room)
        if feed is None or feed.epoch is None:
            return None
        return feed.epoch, feed.position

    def events(self) -> Stream[Event]:
        """Everything from now on: messages and presence of joined rooms, directs, signals, gaps, losses,
        notices, and the connection's own life. Let go of it when you stop reading, or it holds the
        connection back.
        """
        inbox: Inbox[Event] = Inbox(self._driver.regulate)
        self._streams.add(inbox)
        if self._core.failure is not None:
            self._ended(self._core.failure)
        return Stream(inbox)

    # inside

    async def _call(
        self,
        command: wire.Command,
        timeout: float | None = None,
        kind: Kind = Kind.CALL,
        *,
        again: bool = True,
    ) -> Mapping[str, Any]:
        seconds = self._timeout if timeout is None else timeout
        return await self._driver.call(
            lambda now: self._core.request(command, now, kind, again, until=now + seconds), seconds
        )

    async def _post(self, command: wire.Command) -> None:
        await self._driver.space()
        self._core.post(command, self._driver.now())
        self._driver.poke()

    async def _in(self, room: str) -> None:
        """A room command of somebody outside would be refused (304): join first."""
        if self.position(room) is None:
            await self._join(room, Wanted())

    async def _join(self, room: str, wanted: Wanted) -> Joined:
        async with self._joining.setdefault(room, asyncio.Lock()):
            feed = self._core.feeds.get(room)
            if feed is not None and feed.epoch is not None and (feed.presence or not wanted.presence):
                return Joined(feed.epoch, feed.position, None, 0)
            fresh = feed is None
            if feed is None:
                feed = Feed(room, since=wanted.since, history=wanted.history, token=wanted.token)
            feed.presence = wanted.presence
            joining = feed
            try:
                body = await self._driver.call(lambda now: self._core.join(joining, now), self._timeout)
            except (FastChatError, asyncio.CancelledError):
                if fresh and self._core.feeds.pop(room, None) is not None:
                    self._core.abandon(room, self._driver.now())
                raise
        recovered, read = body.get("recovered"), body.get("read")
        members = int(body.get("members", 0))
        return Joined(str(body["epoch"]), int(body["offset"]), recovered, members, read)

    def _queued(self) -> int:
        rooms = sum(room.bytes for room in list(self._rooms.values()))
        return rooms + sum(inbox.bytes for inbox in list(self._streams))

    def _deliver(self, event: Event, size: int) -> None:
        room = self._rooms.get(getattr(event, "room", ""))
        if room is not None:
            room.take(event, size)  # type: ignore[arg-type]  # what has a room is a RoomEvent
        if isinstance(event, Left):
            self._rooms.pop(event.room, None)
        for inbox in list(self._streams):
            inbox.put(event, size)
        if isinstance(event, Lost):
            missed = "an unknown number of" if event.missed is None else str(event.missed)
            LOG.warning("%s: %s messages after %s are lost", event.room, missed, event.since)

    def _ended(self, failure: FastChatError) -> None:
        reason = None if isinstance(failure, Closed) else failure
        for room in list(self._rooms.values()):
            room.end(reason)
        for inbox in list(self._streams):
            inbox.end(reason)
