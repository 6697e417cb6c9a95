"""Cut many clients many times while people publish: `python -m tests.durability.recovery --clients 1000`.

Connections are reset, closed without a word, or left to go silent, at any moment: before CONNECT is answered,
in the middle of a frame, with publishes under way. Nobody may miss a message, get one twice or in another
order. In a room that keeps too few messages a member may be left behind, but has to be told
(`recovered: false`).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import uvloop

from tests.durability.audit import audit
from tests.durability.client import Client, Line, play
from tests.durability.ledger import Ledger, Member, Place
from tests.durability.process import ServerProcess, complaints, storing
from tests.durability.report import report

ROOMS: Mapping[str, float] = {"memory:room": 0.48, "process:room": 0.48, "short:room": 0.04}  # of the clients
SHORT = "short:room"
SETTINGS = (
    "--set", "admission=false",  # whoever is cut comes back at once: that is what is looked at
    "--room", "memory.durability=memory", "--room", "memory.history=1000000",
    "--room", "process.durability=process", "--room", "process.history=1000000",
    "--room", "short.durability=memory", "--room", "short.history=3",
)  # fmt: skip
LIFE = 1.0  # seconds a connection lives in the mean once it is let in, until all cuts are made
PUBLISHES = 20.0  # a second, over all rooms
AWAY = 0.3  # of those who were cut stay away, half as long as a connection lives
EARLY = 0.1  # of the connections are cut at once, perhaps before CONNECT is answered
SPEAKING = 0.03  # of the cuts follow something that was just said
MOMENT = 0.003  # seconds
PATIENCE = 60.0  # seconds until everything is acknowledged, and until everybody has it
SPARE = 200  # descriptors besides the clients' own
ADDRESSES = 50  # that clients come from: each has ports of its own


class Recovery:
    """One run; `faults` is the outcome."""

    def __init__(
        self,
        data: Path,
        *,
        clients: int,
        cuts: int,
        seed: int,
        life: float = LIFE,
        rate: float = PUBLISHES,
        patience: float = PATIENCE,
    ) -> None:
        self.server = ServerProcess(*storing(data, *SETTINGS))
        self.finals: dict[str, Place] = {}
        self.cuts = Counter[str]()
        self.faults: list[str] = []
        self.ledgers = {room: Ledger() for room in ROOMS}
        self._rng = random.Random(seed)
        self._life = life
        self._rate = rate
        self._patience = patience
        self._clients = self._people(clients)
        self._left = {client: cuts for client in self._clients}  # cuts that are still to be made
        self._frozen: list[Line] = []
        self._said = 0
        self._open = 0  # texts that are not acknowledged
        self._to_cut = clients * cuts
        self._quiet = asyncio.Event()  # all cuts are made, and everything is acknowledged

    def _people(self, count: int) -> list[Client]:
        rooms = [room for room, share in ROOMS.items() for _ in range(max(1, round(share * count)))]
        people = []
        for number, room in enumerate(rooms[:count]):
            member = Member(self.ledgers[room], f"u{number}", may_lose=room == SHORT)
            address = f"127.0.1.{1 + number % ADDRESSES}"
            people.append(Client(self, self.ledgers[room], room, member, address))
        return people

    # what the clients tell

    async def up(self) -> int:
        """Some come back at once, some stay away for a while and miss something."""
        if self._to_cut and self._rng.random() < AWAY:
            await asyncio.sleep(self._rng.expovariate(2 / self._life))
        return await self.server.up()

    def connected(self, client: Client) -> None:
        # never the first: its name would be taken by somebody whom only silence betrays
        if client.secret is not None and self._rng.random() < EARLY:
            self._plan(client, self._rng.uniform(0, MOMENT))

    def admitted(self, client: Client) -> None:
        self._plan(client, self._rng.expovariate(1 / self._life))

    def acknowledged(self) -> None:
        self._open -= 1
        self._consider()

    def _plan(self, client: Client, delay: float) -> None:
        """Cut this connection after some seconds, if it has not had all its cuts."""
        if self._left[client] and client.line is not None:
            asyncio.get_running_loop().call_later(delay, self._doom, client, client.line)

    def _doom(self, client: Client, line: Line) -> None:
        """Cut it now, or with something under way that it has just said."""
        if self._rng.random() < SPEAKING:
            self._say(client)
            delay = self._rng.uniform(0, MOMENT)
            asyncio.get_running_loop().call_later(delay, self._cut, client, line)
        else:
            self._cut(client, line)

    def _say(self, client: Client) -> None:
        self._said += 1
        self._open += 1
        client.say(f"{client.member.name} {self._said}")

    def _cut(self, client: Client, line: Line) -> None:
        if line is not client.line or line.gone.done():
            return
        self._left[client] -= 1
        self._to_cut -= 1
        how = self._rng.choice(("reset", "reset", "closed", "frozen"))
        self.cuts[how if client.speaking else f"{how} before CONNECT was answered"] += 1
        if how == "reset":
            line.cut()
        elif how == "closed":
            line.close()
        else:
            line.freeze()
            self._frozen.append(line)
            if len(self._frozen) > SPARE // 2:
                self._frozen.pop(0).close()
        self._consider()

    def _consider(self) -> None:
        if not self._to_cut and not self._open:
            self._quiet.set()

    # the run

    async def run(self) -> None:
        await self.server.start()
        try:
            if await play(self._clients, self._talk(), self._patience):
                for client in self._clients:
                    client.member.settle(self.finals[client.room])
                for room, ledger in self.ledgers.items():
                    if room != SHORT:
                        await audit(ledger, await self.server.up(), room)
        finally:
            for line in self._frozen:
                line.close()
            if wrong := complaints(await self.server.stop()):
                self.faults.append(f"the server said: {wrong}")
        for room, ledger in self.ledgers.items():
            self.faults += [f"{room}: {fault}" for fault in ledger.faults]

    async def _talk(self) -> None:
        """Somebody says something at random times, until all cuts are made and everybody has all of it."""
        rooms = [[client for client in self._clients if client.room == room] for room in ROOMS]
        rooms = [clients for clients in rooms if clients]
        while self._to_cut:
            await asyncio.sleep(self._rng.expovariate(self._rate))
            self._say(self._rng.choice(self._rng.choice(rooms)))
        self._quiet.clear()
        self._consider()
        async with asyncio.timeout(self._patience):
            await self._quiet.wait()
        for client in self._clients:
            nothing = Place(client.member.epoch, 0)
            promised = self.ledgers[client.room].promised.values()
            self.finals[client.room] = max(promised, default=nothing)
        for client in self._clients:
            client.poke()

    @property
    def seen(self) -> Counter[str]:
        """What was looked at, over all rooms."""
        found = Counter({f"cuts: {how}": count for how, count in self.cuts.items()})
        for ledger in self.ledgers.values():
            found.update(ledger.seen)
        return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.durability.recovery", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=100, help="of each")
    parser.add_argument("--life", type=float, default=LIFE, help="seconds of a connection, in the mean")
    parser.add_argument("--rate", type=float, default=PUBLISHES, help="messages a second")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args(arguments)
    raise_limit(options.clients)
    begun = time.monotonic()

    async def run(data: Path) -> Recovery:
        recovery = Recovery(
            data, clients=options.clients, cuts=options.cuts, seed=options.seed, life=options.life,
            rate=options.rate,
        )  # fmt: skip
        await recovery.run()
        return recovery

    with tempfile.TemporaryDirectory(prefix="fastchat-recovery-") as folder:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            recovery = runner.run(run(Path(folder) / "data"))
    return report(recovery.seen, recovery.faults, options.seed, begun)


def raise_limit(clients: int) -> None:
    """Let this process have a descriptor for each client; the server takes what it needs by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            sys.exit(f"{clients:,} clients need {wanted:,} descriptors and the limit is {hard:,} (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
