"""The client's face: connect, publish, read rooms.

Invariant: every method that asks the server something ends, with an answer or a FastChatError, within its
time-out.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from fastchat.client.address import Address
from fastchat.client.core import Core
from fastchat.client.driver import Driver, Hooks
from fastchat.client.events import Ack, Change, Event, Joined, Left, Lost, Member, Members, Message, Position
from fastchat.client.failures import Closed, Refused
from fastchat.client.feed import Feed
from fastchat.client.inbox import Inbox, Stream
from fastchat.client.requests import Kind
from fastchat.client.room import Room, Wanted
from fastchat.errors import Code, FastChatError
from fastchat.protocol import messages as wire
from fastchat.protocol.codec import entry_of, pack

LOG = logging.getLogger("fastchat.client")

QUEUE_BYTES = 1024 * 1024  # what may wait for consumers before the socket is no longer read
TIMEOUT = 10.0  # seconds for an answer, reconnecting included
KEY_BYTES = 12  # of chance in an idempotency key: no two of a user in 5 minutes are alike
CONNECT_SECONDS = 10.0  # for one attempt, until CONNECT is answered


class Chat:
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
        token: str | None = None,
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
        self._core = Core(name=name, token=token)
        self._rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._streams: WeakSet[Inbox[Event]] = WeakSet()
        self._joining: dict[str, asyncio.Lock] = {}
        hooks = Hooks(self._queued, self._deliver, self._ended)
        self._driver = Driver(self._core, address, hooks, tls, connect_seconds, queue_bytes)

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
        return self._core.user

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

    # commands

    async def publish(
        self,
        room: str,
        data: object,
        *,
        key: str | None = None,
        echo: bool = True,
        ephemeral: bool = False,
        ttl_ms: int = 0,
        timeout: float | None = None,
    ) -> Ack:
        """Say something in a room (joining it first where needed) and wait until the server has it.

        `data` is text, or anything msgpack can say (else TypeError). `key` (1 to 64 characters) makes
        saying it again harmless for 5 minutes; one is made where none is given, so that a lost connection
        neither loses nor doubles it. `echo` false: do not send it back to us. `ephemeral`: do not store.
        """
        await self._in(room)
        key = key or secrets.token_hex(KEY_BYTES)
        command = wire.Publish(0, room, pack(data), key, echo, ephemeral, ttl_ms)
        body = await self._call(command, timeout, Kind.PUBLISH)
        return Ack(int(body["offset"]), int(body["ts"]), bool(body.get("duplicate", False)))

    async def post(self, room: str, data: object, *, ephemeral: bool = False) -> None:
        """Say something without waiting for an answer: it is lost with the connection.

        Waits while more is under way than the connection takes. Disconnected: there is none.
        """
        await self._in(room)
        await self._driver.space()
        self._core.post(wire.Publish(0, room, pack(data), ephemeral=ephemeral), self._driver.now())
        self._driver.poke()

    async def direct(self, user: str, data: object, *, key: str | None = None) -> int:
        """Say something to one user; gives the number of their sessions that it went to."""
        key = key or secrets.token_hex(KEY_BYTES)
        return int((await self._call(wire.Direct(0, user, pack(data), key)))["sessions"])

    async def history(
        self, room: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Message | Change]:
        """Stored messages of a room, oldest first: the first `limit` after an offset, or the last before one.

        Fewer come where fewer are kept; what is hidden or has expired is left out.
        """
        await self._in(room)
        body = await self._call(wire.History(0, room, after, before, limit))
        entries = [entry_of(room, entry) for entry in body["messages"]]
        return [entry for entry in entries if isinstance(entry, Message | Change)]

    async def presence(self, room: str, *, limit: int = 100) -> Members:
        """Who is in a room: how many, and at most `limit` of them."""
        await self._in(room)
        body = await self._call(wire.Presence(0, room, limit))
        return Members(int(body["count"]), tuple(Member(*row[:3]) for row in body["members"]))

    async def state(self, room: str, state: Mapping[str, Any]) -> None:
        """Tell a room about ourselves: typing, away...; volatile, gone with the connection."""
        await self._in(room)
        await self._call(wire.State(0, room, pack(dict(state))))

    async def block(self, user: str, on: bool = True) -> None:
        """Hear no more of a user, or hear them again; holds across reconnections."""
        await self._call(wire.Block(0, user, on))
        change = self._core.blocked.add if on else self._core.blocked.discard
        change(user)

    async def signal(self, user: str, data: object) -> int:
        """Send a volatile message to each session of a user; gives their number.

        Disconnected: the connection broke before the answer, and it is not sent twice.
        """
        return int((await self._call(wire.Signal(0, user, pack(data)), again=False))["sessions"])

    async def ping(self, *, timeout: float | None = None) -> float:
        """Ask the server for a sign of life; gives the round trip in seconds."""
        begun = time.perf_counter()  # a loop's own clock may tick in milliseconds
        await self._call(wire.Ping(0), timeout)
        return time.perf_counter() - begun

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
        return await self._driver.call(lambda now: self._core.request(command, now, kind, again), seconds)

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
        recovered = body.get("recovered")
        return Joined(str(body["epoch"]), int(body["offset"]), recovered, int(body.get("members", 0)))

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
