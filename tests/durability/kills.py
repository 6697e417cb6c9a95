"""kill -9 in the middle: publishers with keys, listeners, a server that dies at random and comes back.

Nothing acknowledged may be lost, nothing sent again may stand twice, offsets are contiguous, and no offset
that a member saw may ever be another message's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from tests.durability.audit import audit
from tests.durability.client import Client, play
from tests.durability.ledger import Ledger, Member, Place
from tests.durability.process import ServerProcess, complaints, storing

ROOM = "live:room"
PUBLISHERS, LISTENERS = 6, 2
WINDOW = 8  # messages that each publisher keeps under way
AHEAD = 200  # messages that may be begun beyond the place where the next kill falls: some are under way
PAUSE = 0.005  # seconds from that place to the kill, at most: it falls anywhere in a commit
EARLY = 0.1  # of the kills are followed by one that hits the server while it starts
STARTING = 0.4  # seconds: such a server dies within this time
PATIENCE = 30.0  # seconds without any progress
# every message is still there in the end: the room keeps more than are sent
KEPT = ("--room", "live.history=1000000", "--room", f"live.history_bytes={2**27}")


class Kills:
    """One run; the outcome is `ledger.faults`."""

    def __init__(
        self,
        data: Path,
        *,
        kills: int,
        publishes: int,
        seed: int,
        durability: str = "process",
        tamper: Callable[[Path], None] | None = None,
    ) -> None:
        """`tamper` gets the folder after each kill: a store with a fault, to see that it is found."""
        self._data, self._tamper = data, tamper
        self.ledger = Ledger()
        self.server = ServerProcess(*storing(data, "--room", f"live.durability={durability}", *KEPT))
        self.finals: dict[str, Place] = {}
        names = [f"mouth{number}" for number in range(PUBLISHERS)]
        self._mouths = [Client(self, self.ledger, ROOM, Member(self.ledger, name)) for name in names]
        names = [f"ear{number}" for number in range(LISTENERS)]
        self._ears = [Client(self, self.ledger, ROOM, Member(self.ledger, name)) for name in names]
        self._rng = random.Random(seed)
        self._kills = kills
        self._publishes = publishes
        self._begun = 0
        self._done = 0
        self._goal = 0  # as many acknowledgements are awaited before the next kill
        self._reached = asyncio.Event()  # some more are acknowledged

    # what the clients tell

    async def up(self) -> int:
        return await self.server.up()

    def connected(self, client: Client) -> None:
        """Nothing is to be done."""

    def admitted(self, client: Client) -> None:
        self._fill()

    def acknowledged(self) -> None:
        self._done += 1
        self._reached.set()
        if self._done < self._publishes:
            self._fill()
            return
        places = self.ledger.promised.values()
        self.finals[ROOM] = max(place for place in places if place.epoch == self.ledger.last.epoch)
        for client in (*self._mouths, *self._ears):
            client.poke()

    def _fill(self) -> None:
        """Let everybody say what may be said now."""
        for client in self._mouths:
            while client.speaking and len(client.unacknowledged) < WINDOW:
                if self._begun >= min(self._publishes, self._goal + AHEAD):
                    return
                self._begun += 1
                client.say(f"{client.member.name} {self._begun}")

    # the run

    async def run(self) -> None:
        clients = [*self._mouths, *self._ears]
        await self.server.start()
        try:
            if await play(clients, self._kill(), PATIENCE):
                for client in clients:
                    client.member.settle(self.finals[ROOM])
                await audit(self.ledger, await self.server.up(), ROOM)
        finally:
            self._heard(await self.server.stop())

    async def _kill(self) -> None:
        share = self._publishes / (self._kills + 1)
        for number in range(self._kills):
            place = int(share * (number + self._rng.random()))
            await self._progress(max(place, self._done + 1))
            await asyncio.sleep(self._rng.uniform(0, PAUSE))
            await self._once()
            if self._rng.random() < EARLY:
                await self.server.begin()
                await asyncio.sleep(self._rng.uniform(0, STARTING))
                await self._once()
            await self.server.start()
        await self._progress(self._publishes)

    async def _progress(self, goal: int) -> None:
        """Wait until so many messages are acknowledged, or all."""
        self._goal = min(goal, self._publishes)
        self._reached.clear()
        self._fill()
        while self._done < self._goal:
            self._reached.clear()
            async with asyncio.timeout(PATIENCE):
                await self._reached.wait()

    async def _once(self) -> None:
        self.ledger.seen["kills"] += 1
        self._heard(await self.server.kill())
        if self._tamper is not None:
            self._tamper(self._data)

    def _heard(self, words: str) -> None:
        if wrong := complaints(words):
            self.ledger.fault(f"the server said: {wrong}")
