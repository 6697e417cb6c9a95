"""A client that is in one room, publishes with keys, and comes back however often it is cut.

It speaks the wire byte by byte and shares no code with the server or the client library, so nothing that
would drop a duplicate or close a hole stands between the server and the ledger.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import msgpack

from tests.durability.ledger import MOST_FAULTS, Ledger, Member, Place
from tests.server.wire import BYE, CONNECT, ERROR, MESSAGE, PING_PUSH, PONG, PUBLISH, RESULT, tcp


class Hopeless(Exception):
    """More is wrong than anybody reads."""


CONNECTING = 1  # id of CONNECT
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets, and leaves no port in TIME_WAIT
REPLACED = 207
AGAIN = (101, 103)  # may pass later: the same key is sent again on the next connection


class Run(Protocol):
    """What the clients are part of."""

    finals: dict[str, Place]  # the newest message of each room, once everything is acknowledged

    async def up(self) -> int:
        """Wait until there is a server; gives its port."""

    def connected(self, client: Client) -> None:
        """A connection stands, nothing is sent yet."""

    def admitted(self, client: Client) -> None:
        """It may speak."""

    def acknowledged(self) -> None:
        """One message more is stored."""


class Line(asyncio.Protocol):
    """One connection; `gone` is done once it is of no use any more."""

    def __init__(self, client: Client) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = client
        self._transport: Any = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        at = 0
        while len(self._rest) - at >= 4 and not self.gone.done():
            end = at + 4 + int.from_bytes(self._rest[at : at + 4])
            if end > len(self._rest):
                break
            self._client.take(msgpack.unpackb(self._rest[at + 4 : end]))
            at = end
        self._rest = self._rest[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def send(self, *message: Any) -> None:
        self._transport.write(tcp(*message))

    def cut(self) -> None:
        """Reset the connection: what is under way is lost, in both directions."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        """Close it without a word."""
        self._transport.abort()
        self._leave()

    def freeze(self) -> None:
        """Go away as a telephone does in a tunnel: the server hears nothing of it."""
        self._transport.pause_reading()
        self._leave()

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class Client:
    """One user, over as many connections as it takes."""

    def __init__(
        self, run: Run, ledger: Ledger, room: str, member: Member, address: str = "127.0.0.1"
    ) -> None:
        self.room = room
        self.member = member
        self.line: Line | None = None
        self.speaking = False  # CONNECT was answered on this connection
        self.secret: str | None = None  # takes the name over from a connection that the server believes in
        self.unacknowledged: list[str] = []
        self._run = run
        self._ledger = ledger
        self._address = address
        self._waiting: dict[int, str] = {}  # id: text, on this connection
        self._last = CONNECTING

    @property
    def done(self) -> bool:
        """Everything is acknowledged, and has come here."""
        final = self._run.finals.get(self.room)
        if final is None:
            return False
        return self.member.epoch != final.epoch or self.member.position == final.offset

    def poke(self) -> None:
        """Wait no longer, if there is nothing to wait for."""
        if self.done and self.line is not None:
            self.line.close()

    async def live(self) -> None:
        """Be there until the end. Raises Hopeless."""
        loop = asyncio.get_running_loop()
        while not self.done:
            if self._ledger.seen["faults"] > MOST_FAULTS:
                raise Hopeless
            port = await self._run.up()
            try:
                _, line = await loop.create_connection(
                    lambda: Line(self), "127.0.0.1", port, local_addr=(self._address, 0)
                )
            except OSError:
                await asyncio.sleep(0)  # the server died in this moment
                continue
            self.line = line
            self._run.connected(self)
            rooms = {self.room: self.member.since}
            opts = {"name": self.member.name, "resume": self.secret, "rooms": rooms}
            line.send(CONNECT, CONNECTING, 1, opts)
            try:
                await line.gone
            finally:
                self.line, self.speaking = None, False
                if line.gone.cancelled():
                    line.close()
            self._waiting.clear()
            self._ledger.seen["connections"] += 1

    def say(self, text: str) -> None:
        """Publish it, now or when there is a connection, until it is acknowledged."""
        self.unacknowledged.append(text)
        if self.speaking:
            self._publish(text)

    def _publish(self, text: str) -> None:
        assert self.line is not None
        self._last += 1
        self._waiting[self._last] = text
        self._ledger.send(text)
        self.line.send(PUBLISH, self._last, self.room, text, {"key": text})

    def take(self, message: list[Any]) -> None:
        """What came on the connection that stands."""
        op = message[0]
        if op == MESSAGE:
            self.member.hear(message[2], message[5])
        elif op == RESULT and message[1] == CONNECTING:
            self._let_in(message[2])
        elif op == RESULT:
            self._acknowledged(message[1], message[2])
        elif op == PING_PUSH and self.line is not None:
            self.line.send(PONG, 0)
        elif op == ERROR and message[2] in AGAIN:
            self._ledger.seen[f"refused with {message[2]}"] += 1
            self._fail()
        elif op == BYE and message[1] == REPLACED:
            # a connection that was cut before its CONNECT was read came after this one: who is newer, the
            # server cannot know
            self._ledger.seen["replaced by a connection that was cut"] += 1
            self._fail()
        elif op in (ERROR, BYE):
            self._ledger.fault(f"{self.member.name} was refused: {message}")
            self._fail()
        if self.done:
            self.poke()

    def _fail(self) -> None:
        if self.line is not None:
            self.line.close()

    def _let_in(self, body: dict[str, Any]) -> None:
        self.secret = body["session"]
        room = body["rooms"][self.room]
        if "error" in room:
            self._ledger.fault(f"{self.member.name} was not let into {self.room}: {room}")
            self._fail()
            return
        entries = [(entry[0], entry[3]) for entry in room["messages"]]
        self.member.join(room["epoch"], room["offset"], room["recovered"], entries)
        for text in self.unacknowledged:
            self._publish(text)
        self.speaking = True
        self._run.admitted(self)

    def _acknowledged(self, number: int, body: dict[str, Any]) -> None:
        text = self._waiting.pop(number, None)
        if text is None:
            self._ledger.fault(f"{self.member.name} got a result with id {number} that it did not ask for")
            return
        self.unacknowledged.remove(text)
        self._ledger.promise(self.member.epoch, body["offset"], text, bool(body.get("duplicate")))
        self._run.acknowledged()


async def play(clients: Sequence[Client], driving: Coroutine[Any, Any, None], patience: float) -> bool:
    """Let clients live while `driving` goes on, and `patience` seconds more. False: it was hopeless.

    Who has not got everything by then stands where it stands.
    """
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(client.live()) for client in clients]
    try:
        async with asyncio.timeout(None) as limit:

            async def drive() -> None:
                await driving
                limit.reschedule(loop.time() + patience)

            tasks.append(asyncio.create_task(drive()))
            await asyncio.gather(*tasks)
    except TimeoutError:
        return True
    except Hopeless:
        return False
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return True
