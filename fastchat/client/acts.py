"""What a user can do once connected: each method is a command of the protocol.

Invariant: what is sent again after a loss is only what does no harm when it is carried out twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastchat.client.core import Core
from fastchat.client.events import Ack, Change, Member, Members, Message
from fastchat.client.failures import Refused
from fastchat.client.requests import Kind
from fastchat.errors import Code
from fastchat.protocol import messages as wire
from fastchat.protocol.codec import entry_of, pack

KEY_BYTES = 12  # of chance in an idempotency key: no two of a user in 5 minutes are alike


class Acts:
    """The commands of a `Chat`, which knows how to have them answered."""

    _core: Core

    async def _call(
        self,
        command: wire.Command,
        timeout: float | None = None,
        kind: Kind = Kind.CALL,
        *,
        again: bool = True,
    ) -> Mapping[str, Any]:
        """Have a command answered."""
        raise NotImplementedError

    async def _post(self, command: wire.Command) -> None:
        """Send a command that asks for no answer."""
        raise NotImplementedError

    async def _in(self, room: str) -> None:
        """Join the room if that has not been done."""
        raise NotImplementedError

    # messages

    async def publish(
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
        """Say something in a room (joining it first where needed) and wait until the server has it.

        `data` is text, or anything msgpack can say (else TypeError). `key` (1 to 64 characters) makes
        saying it again harmless for 5 minutes; one is made where none is given, so that a lost connection
        neither loses nor doubles it. `echo` false: do not send it back to us. `ephemeral`: do not store.
        `reply_to`: the offset of the message it answers. `mentions`: users it is meant for, 32 at most.
        Too fast for the server (400, 401) or too much for it (101, 103), it waits and goes again by itself,
        as long as `timeout` allows.
        """
        await self._in(room)
        key = key or secrets.token_hex(KEY_BYTES)
        named = tuple(mentions)
        command = wire.Publish(0, room, pack(data), key, echo, ephemeral, ttl_ms, reply_to, named)
        return ack_of(await self._call(command, timeout, Kind.PUBLISH))

    async def post(self, room: str, data: object, *, ephemeral: bool = False) -> None:
        """Say something without waiting for an answer: it is lost with the connection.

        Waits while more is under way than the connection takes. Disconnected: there is none.
        """
        await self._in(room)
        await self._post(wire.Publish(0, room, pack(data), ephemeral=ephemeral))

    async def edit(self, room: str, offset: int, data: object) -> Ack:
        """Put other data in place of a message of ours; everybody in the room gets a Change.

        Disconnected: the connection broke before the answer. It may have been carried out, and is not sent
        twice, for it could undo a later edit.
        """
        return await self._changed(wire.Edit(0, room, offset, pack(data)), again=False)

    async def delete(self, room: str, offset: int) -> Ack:
        """Take a message back: ours, or anybody's for who moderates the room."""
        connections = self._core.connections
        try:
            return await self._changed(wire.Delete(0, room, offset), again=True)
        except Refused as refusal:
            if refusal.code != Code.NO_SUCH_MESSAGE or self._core.connections == connections:
                raise
            return Ack(0, 0, True)  # it was sent again after a loss: the first time it was carried out

    async def react(self, room: str, offset: int, emoji: str, on: bool = True) -> Ack:
        """Put an emoji to a message, or take it back; offset 0 where that changes nothing.

        Disconnected: the connection broke before the answer. It may have been carried out, and is not sent
        twice, for it could undo what was done since.
        """
        return await self._changed(wire.React(0, room, offset, emoji, on), again=False)

    async def mark(self, room: str, offset: int | None = None) -> int:
        """Keep on the server up to where we have read: what came last unless `offset` says otherwise.

        Gives where the mark stands; it never goes back. The user's other sessions get a Notice "read".
        """
        await self._in(room)
        where = self._core.feeds[room].position if offset is None else offset
        return int((await self._call(wire.Mark(0, room, where)))["offset"])

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
    ) -> None:
        """Act on a user in a room, or on the room itself; docs/PROTOCOL.md lists the actions.

        `room` "" is the whole server. `seconds`: how long, 0 for good. `address`: ban where they come from
        as well. `members`: of "cap", how many. Refused (203): we may not.
        """
        command = wire.Moderate(0, room, action, user, seconds, reason, address, members)
        await self._call(command, again=action != "kick")  # they may have come back meanwhile

    async def ping(self, *, timeout: float | None = None) -> float:
        """Ask the server for a sign of life; gives the round trip in seconds."""
        begun = time.perf_counter()  # a loop's own clock may tick in milliseconds
        await self._call(wire.Ping(0), timeout)
        return time.perf_counter() - begun

    async def _changed(self, command: wire.Edit | wire.Delete | wire.React, *, again: bool) -> Ack:
        await self._in(command.room)
        return ack_of(await self._call(command, kind=Kind.CHANGE, again=again))


def ack_of(body: Mapping[str, Any]) -> Ack:
    """The answer to PUBLISH, EDIT, DELETE or REACT."""
    return Ack(int(body["offset"]), int(body["ts"]), bool(body.get("duplicate", False)))
