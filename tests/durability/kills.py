"""kill -9 in the middle: publishers with keys, listeners, a server that dies at random and comes back.

Nothing acknowledged may be lost, nothing sent again may stand twice, offsets are contiguous, and no offset
that a member saw may ever be another message's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from pathlib import Path
from typing import Any

from tests.durability.ledger import MOST_FAULTS, Ledger, Member, Place
from tests.durability.process import ServerProcess, storing
from tests.server.wire import BYE, CONNECT, ERROR, HISTORY, MESSAGE, PUBLISH, RESULT, Peer

ROOM = "live:room"
PUBLISHERS, LISTENERS = 6, 2
WINDOW = 8  # messages that each publisher keeps under way
CONNECTING = 1  # id of CONNECT
AHEAD = 100  # messages that may be begun beyond the place where the next kill falls: some are under way
PAUSE = 0.005  # seconds from that place to the kill, at most: it falls anywhere in a commit
EARLY = 0.1  # of the kills hit a server that is starting
STARTING = 0.4  # seconds: such a server dies within this time
PAGE = 500  # entries asked for at once in the end
# every message is still there in the end: the room keeps more than are sent
HISTORY_KEPT = ("--room", "live.history=1000000", "--room", f"live.history_bytes={2**30}")


class Gone(Exception):
    """The server is gone, or wants us gone."""


class Client:
    """One connection after another, as long as there is something to do."""

    def __init__(self, run: Kills, name: str) -> None:
        self.member = Member(run.ledger, name)
        self._run = run
        self._name = name
        self._waiting: dict[int, str] = {}  # id: text, on this connection
        self._unacknowledged: deque[str] = deque()
        self._last = CONNECTING
        self._peer: Peer | None = None
        self._in = False  # CONNECT was answered on this connection

    def poke(self) -> None:
        """Wait no longer, if there is nothing to wait for."""
        if self.done and self._peer is not None:
            self._peer.writer.transport.abort()

    @property
    def done(self) -> bool:
        """Everything is acknowledged, and has come here."""
        final = self._run.final
        return final is not None and (
            self.member.epoch != final.epoch or self.member.position == final.offset
        )

    async def live(self) -> None:
        while not self.done:
            if self._run.ledger.seen["faults"] > MOST_FAULTS:
                raise AssertionError(f"hopeless: {self._run.ledger.faults[0]}")
            port = await self._run.server.up()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0)  # it died in this moment
                continue
            self._peer = peer = Peer(reader, writer)
            try:
                await self._converse(peer)
            except (OSError, asyncio.IncompleteReadError, Gone):
                self._run.ledger.seen["connections lost"] += 1
            finally:
                self._peer, self._in = None, False
                writer.transport.abort()
                await asyncio.sleep(0)

    async def _converse(self, peer: Peer) -> None:
        self._waiting.clear()
        peer.send(CONNECT, CONNECTING, 1, {"name": self._name, "rooms": {ROOM: self.member.since}})
        answer = await peer.receive()
        while answer[:2] != [RESULT, CONNECTING]:
            if answer[0] in (ERROR, BYE):
                self._run.ledger.fault(f"{self._name} was not let in: {answer}")
                raise Gone
            answer = await peer.receive()
        self._joined(answer[2]["rooms"][ROOM])
        for text in self._unacknowledged:
            self._publish(peer, text)
        self._in = True
        self.fill()
        while not self.done:
            self._take(peer, await peer.receive())
            self.fill()

    def _joined(self, body: dict[str, Any]) -> None:
        entries = [(entry[0], entry[3]) for entry in body["messages"]]
        self.member.join(body["epoch"], body["offset"], body["recovered"], entries)

    def _publish(self, peer: Peer, text: str) -> None:
        self._last += 1
        self._waiting[self._last] = text
        self._run.ledger.send(text)
        peer.send(PUBLISH, self._last, ROOM, text, {"key": text})

    def fill(self) -> None:
        """Say what may be said."""
        if self._peer is None or not self._in or self._name.startswith("ear"):
            return
        while len(self._unacknowledged) < WINDOW and (text := self._run.next(self._name)):
            self._unacknowledged.append(text)
            self._publish(self._peer, text)

    def _take(self, peer: Peer, message: list[Any]) -> None:
        if message[0] == MESSAGE:
            self.member.hear(message[2], message[5])
        elif message[0] == RESULT:
            text, body = self._waiting.pop(message[1]), message[2]
            self._unacknowledged.remove(text)
            duplicate = bool(body.get("duplicate"))
            self._run.ledger.promise(self.member.epoch, body["offset"], text, duplicate)
            self._run.acknowledged()
        elif message[0] == ERROR:
            self._run.ledger.fault(f"{self._name} was refused: {message}")
            raise Gone
        elif message[0] == BYE:
            self._run.ledger.fault(f"{self._name} was sent away: {message}")
            raise Gone


class Kills:
    """One run; the outcome is `ledger.faults`."""

    def __init__(
        self, data: Path, *, kills: int, publishes: int, seed: int, durability: str = "process"
    ) -> None:
        self.ledger = Ledger()
        self.server = ServerProcess(*storing(data, "--room", f"live.durability={durability}", *HISTORY_KEPT))
        self.final: Place | None = None  # the newest message, once everything is acknowledged
        self._rng = random.Random(seed)
        self._kills = kills
        self._publishes = publishes
        self._begun = 0
        self._done = 0
        self._goal = 0  # as many acknowledgements as are awaited before the next kill
        self._clients: list[Client] = []
        self._reached = asyncio.Event()

    def next(self, name: str) -> str | None:
        """The next text to say; None: nothing for now."""
        if self._begun >= min(self._publishes, self._goal + AHEAD):
            return None
        self._begun += 1
        return f"{name} {self._begun}"

    def acknowledged(self) -> None:
        self._done += 1
        if self._done >= self._goal:
            self._reached.set()
        if self._done == self._publishes:
            self._reached.set()
            epoch = self.ledger.last.epoch
            places = self.ledger.promised.values()
            self.final = max(place for place in places if place.epoch == epoch)
            for client in self._clients:
                client.poke()

    async def run(self) -> None:
        names = [f"mouth{number}" for number in range(PUBLISHERS)]
        names += [f"ear{number}" for number in range(LISTENERS)]
        self._clients = clients = [Client(self, name) for name in names]
        await self.server.start()
        living = asyncio.gather(*(client.live() for client in clients))
        killing = asyncio.create_task(self._kill())
        try:
            done, _ = await asyncio.wait([living, killing], return_when=asyncio.FIRST_EXCEPTION)
            for one in done:
                one.result()
            assert self.final is not None
            for client in clients:
                client.member.settle(self.final)
            await self._audit()
        finally:
            for task in (living, killing):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, AssertionError):
                    await task
            words = await self.server.stop()
        if "Traceback" in words or "ERROR" in words:
            self.ledger.fault(f"the server said: {words[-2000:]}")

    async def _kill(self) -> None:
        """At random places in the story; the last ones perhaps when all is said."""
        places = sorted(self._rng.randrange(1, self._publishes) for _ in range(self._kills))
        for place in places:
            self._aim(max(place, self._done + 1))
            if self.final is None:
                await self._reached.wait()
            await asyncio.sleep(self._rng.uniform(0, PAUSE))
            await self._once()
            if self._rng.random() < EARLY:
                await self.server.begin()
                await asyncio.sleep(self._rng.uniform(0, STARTING))
                await self._once()
            await self.server.start()
        self._aim(self._publishes)

    def _aim(self, goal: int) -> None:
        self._goal = goal
        self._reached.clear()
        for client in self._clients:
            client.fill()

    async def _once(self) -> None:
        self.ledger.seen["kills"] += 1
        words = await self.server.kill()
        if "Traceback" in words or "ERROR" in words:
            self.ledger.fault(f"the server said: {words[-2000:]}")

    async def _audit(self) -> None:
        """Read the whole room as it is stored, by a client that was never there."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", await self.server.up()))
        try:
            await peer.connect("auditor")
            body = (await peer.join(ROOM))[2]
            stored: list[tuple[int, str]] = []
            last = 0
            while last < body["offset"]:
                peer.send(HISTORY, 3, ROOM, {"after": last, "limit": PAGE})
                page = (await peer.until(RESULT))[2]["messages"]
                if not page:
                    self.ledger.fault(f"history ends at {last} of {body['offset']}")
                    break
                stored += [(entry[0], entry[3]) for entry in page]
                last = stored[-1][0]
        finally:
            await peer.close()
        self.ledger.settle(body["epoch"], stored)
