"""A real server under mixed load: `python -m tests.soak --minutes 5 --seed 1`.

People talk over TCP, WebSocket and a Unix socket, through a relay that cuts their connections at random; some
sleep instead of reading, some wander between rooms, and strangers send garbage, hang or vanish. A ledger
watches what everybody sees: one order per room, nothing twice, no silent hole, nothing acknowledged and lost.
In the end the server must not have grown, must have logged nothing, and must end in good order when told to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

import fastchat
from fastchat.client import Chat, Gap, Left, Lost, Message, Room
from fastchat.errors import FastChatError

ROOMS = ("lobby", "drop:feed", "latest:score", "tick:arena")
SERVER = """
    --port 0 --history 300 --limits off
    --room drop.policy=drop --room latest.policy=latest --room tick.coalesce_ms=50
    --set batch_bytes=65536 --set sndbuf=8192
    --set connect_seconds=2 --set linger_seconds=0.5
"""  # small buffers, so that those who sleep trip every limit
PEOPLE = 24
PAUSE = 0.08  # seconds between two messages of one person, on average
SLEEP = 4.0, 20.0  # seconds a sleeper does not read
LIFE = 15.0  # seconds until the relay cuts a connection, on average
SETTLE = 30.0  # seconds in which everybody must have everything once nobody talks
GROWTH = 1.2, 16 * 2**20  # at the end the server may have so many times the memory of the middle, and bytes


@dataclass
class Ledger:
    """What everybody saw, and what of it cannot be."""

    said: dict[tuple[str, int], tuple[str, object]] = field(default_factory=dict)
    where: dict[tuple[str, object], tuple[str, int]] = field(default_factory=dict)
    newest: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, room: str, offset: int, user: str, data: object) -> None:
        """Somebody saw this there, or was told that it stands there."""
        if self.said.setdefault((room, offset), (user, data)) != (user, data):
            self.faults.append(f"{room} {offset} is {self.said[room, offset]} and {(user, data)}")
        if self.where.setdefault((user, data), (room, offset)) != (room, offset):
            self.faults.append(f"{(user, data)} stands at {self.where[user, data]} and {(room, offset)}")
        self.newest[room] = max(self.newest[room], offset)


@dataclass
class Ear:
    """One person in one room: offsets rise, and each that is passed over was announced."""

    ledger: Ledger
    room: str
    user: str
    position: int | None = None  # None: what comes first is where it begins
    holes: list[int] = field(default_factory=list)  # passed over: only its own, sent without echo, may be

    def hear(self, event: object) -> None:
        if isinstance(event, Message) and event.offset:
            self._reach(event.offset, event.offset, event)
            self.ledger.note(self.room, event.offset, event.user, event.data)
        elif isinstance(event, Gap):
            self._reach(event.start, event.end, event)
        elif isinstance(event, Lost):
            if event.now[0] != event.since[0]:
                self.ledger.faults.append(f"{self.user} in {self.room}: another epoch: {event}")
            self.position = None if event.missed is None else event.since[1] + event.missed
        self.ledger.seen[type(event).__name__] += 1

    def _reach(self, first: int, last: int, event: object) -> None:
        if self.position is not None and first <= self.position:
            self.ledger.faults.append(f"{self.user} in {self.room} stood at {self.position} and got {event}")
        elif self.position is not None:
            self.holes += range(self.position + 1, first)
        self.position = last

    def settle(self) -> None:
        """Nothing is under way any more: every hole must be a message of one's own."""
        for hole in self.holes:
            whose, _ = self.ledger.said.get((self.room, hole), (None, None))
            if whose != self.user:
                self.ledger.faults.append(f"{self.user} in {self.room} never got {hole}, by {whose}")
        if self.behind:
            newest = self.ledger.newest[self.room]
            self.ledger.faults.append(f"{self.user} in {self.room} stands at {self.position} of {newest}")

    @property
    def behind(self) -> bool:
        """Whether anything but its own, sent without echo, is still to come."""
        nobody = (None, None)
        return any(self.ledger.said.get((self.room, at), nobody)[0] != self.user for at in self.rest())

    def rest(self) -> range:
        """The offsets after the last that was heard."""
        return range((self.position or 0) + 1, self.ledger.newest[self.room] + 1)


class Relay:
    """Passes bytes on to the server, and cuts connections at random."""

    def __init__(self, port: int, source: random.Random) -> None:
        self._port = port
        self._source = source
        self.cuts = 0
        self.calm = False

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        both = asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        life = self._source.expovariate(1 / LIFE)
        while not both.done():
            await asyncio.wait([both], timeout=life)
            if not both.done() and not self.calm:
                self.cuts += 1
                both.cancel()
                break
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await both
        for one in (writer, there_writer):
            one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


class Soak:
    """One run; `faults` of its ledger is the outcome."""

    def __init__(self, seed: int, minutes: float, people: int) -> None:
        self.source = random.Random(seed)
        self.ledger = Ledger()
        self.ears: list[Ear] = []
        self.sizes: list[int] = []  # resident bytes of the server, about once a second
        self._seconds = minutes * 60
        self._ends = 0.0  # set once everybody is there
        self._people = people
        self._strangers = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    async def run(self) -> None:
        async with self._server() as (port, unix):
            relay = Relay(port, self.source)
            async with await asyncio.start_server(relay.pass_on, "127.0.0.1", 0) as front:
                through = front.sockets[0].getsockname()[1]
                urls = [f"tcp://127.0.0.1:{through}", f"ws://127.0.0.1:{through}/ws", f"unix:{unix}"]
                async with contextlib.AsyncExitStack() as stack:
                    chats = [
                        await stack.enter_async_context(
                            fastchat.connect(url, name=f"p{number}", timeout=60, queue_bytes=8192)
                        )
                        for number, url in zip(range(self._people), urls * self._people, strict=False)
                    ]
                    await self._live(chats, port)
                    relay.calm = True
                    await self._settle(chats)
                front.close()
            self.ledger.seen["cuts"] = relay.cuts
            self.ledger.seen["strangers"] = self._strangers

    async def _live(self, chats: list[Chat], port: int) -> None:
        self._ends = time.monotonic() + self._seconds
        self._listening: list[asyncio.Task[None]] = []
        doing: list[Coroutine[object, object, None]] = [self._strange(port) for _ in range(3)]
        for number, chat in enumerate(chats):
            for name in self.source.sample(ROOMS, 3):
                ear = Ear(self.ledger, name, chat.user)
                self.ears.append(ear)
                room = chat.room(name, history=10)
                sleepy = number % 4 == 0
                self._listening.append(asyncio.create_task(self._listen(chat, room, ear, sleepy)))
            doing.append(self._talk(chat))
        doing += [self._wander(chat) for chat in chats[::5]]
        await asyncio.gather(*doing)

    async def _listen(self, chat: Chat, room: Room, ear: Ear, sleepy: bool) -> None:
        async for event in room.everything():
            if isinstance(event, Left):
                self.ledger.faults.append(f"{ear.user} was put out of {ear.room}: {event}")
            ear.hear(event)
            if sleepy and not self.over and self.source.random() < 0.003:
                await asyncio.sleep(self.source.uniform(*SLEEP))

    async def _talk(self, chat: Chat) -> None:
        number = 0
        while not self.over:
            room = self.source.choice(ROOMS)
            number += 1
            text = f"{chat.user} {number} " + "x" * int(self.source.paretovariate(1.2) * 200 % 6000)
            ephemeral = self.source.random() < 0.05
            try:
                ack = await chat.publish(room, text, ephemeral=ephemeral, echo=self.source.random() < 0.9)
                self.ledger.seen["acknowledged"] += 1
                if not ephemeral:
                    self.ledger.note(room, ack.offset, chat.user, text)
            except FastChatError as error:
                self.ledger.seen[f"refused {getattr(error, 'code', type(error).__name__)}"] += 1
            await asyncio.sleep(self.source.expovariate(1 / PAUSE))

    async def _wander(self, chat: Chat) -> None:
        """Come and go in a room of one's own, tell states, write to others, ask for history."""
        number = 0
        while not self.over:
            number += 1
            other = f"p{self.source.randrange(self._people)}"
            try:
                await chat.join(f"wander:{number % 7}", presence=True)
                await chat.state(f"wander:{number % 7}", {"typing": True})
                await chat.direct(other, f"{chat.user}>{other}")
                await chat.history("lobby", limit=20)
                await chat.leave(f"wander:{number % 7}")
            except FastChatError as error:
                self.ledger.seen[f"refused {getattr(error, 'code', type(error).__name__)}"] += 1
            await asyncio.sleep(self.source.uniform(0.0, 0.3))

    async def _strange(self, port: int) -> None:
        """Connect and misbehave: what others do must not notice."""
        openings = (
            b"", b"\x00", b"\x00\x00\x00\x05hello", b"\xff\xfe", b"GET / HTTP/1.1\r\n", b"\x00\xff\xff\xff",
            b"GET /ws HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x04\x93\x01\x01\x01",
            b"POST /ws HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        )  # fmt: skip
        while not self.over:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            self._strangers += 1
            writer.write(self.source.choice(openings) + self.source.randbytes(self.source.randrange(200)))
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(reader.read(100), self.source.uniform(0.0, 0.5))
            writer.transport.abort()
            await asyncio.sleep(self.source.uniform(0.0, 0.1))

    async def _settle(self, chats: list[Chat]) -> None:
        """Nobody talks any more: everybody must come to stand at the end of every room."""
        deadline = time.monotonic() + SETTLE
        for name in ROOMS:
            for entry in await chats[0].history(name, limit=300):
                if isinstance(entry, Message):
                    self.ledger.note(name, entry.offset, entry.user, entry.data)
        while any(ear.behind for ear in self.ears) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        for task in self._listening:
            task.cancel()
        for outcome in await asyncio.gather(*self._listening, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.ledger.faults.append(f"a listener ended: {outcome!r}")
        for ear in self.ears:
            ear.settle()

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[tuple[int, str]]:
        with tempfile.TemporaryDirectory(prefix="fastchat-soak-") as folder:
            unix = str(Path(folder) / "socket")
            command = [sys.executable, "-m", "fastchat", "serve", "--unix", unix, *SERVER.split()]
            command += ["--data", str(Path(folder) / "data")]
            server = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            assert server.stdout is not None and server.stderr is not None
            logged = asyncio.create_task(server.stderr.read())
            try:
                line = (await server.stdout.readline()).decode()
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                assert found, f"the server said {line!r}\n{(await logged).decode()}"
                sampling = asyncio.create_task(self._sample(server.pid))
                yield int(found[1]), unix
                sampling.cancel()
                server.send_signal(signal.SIGTERM)
                async with asyncio.timeout(20):
                    await server.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    server.kill()
            self.judge(server.returncode, (await logged).decode())

    async def _sample(self, pid: int) -> None:
        while True:
            status = Path(f"/proc/{pid}/status").read_text()
            self.sizes.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024)
            await asyncio.sleep(1.0)

    def judge(self, status: int | None, log: str) -> None:
        if status != 0:
            self.ledger.faults.append(f"the server ended with {status}")
        strange = [line for line in log.splitlines() if not re.search("drain|C extension|RATE LIMITS", line)]
        if strange:
            self.ledger.faults.append("the server logged:\n" + "\n".join(strange[:20]))
        middle, end = self.sizes[len(self.sizes) // 2], self.sizes[-1]
        if end > middle * GROWTH[0] + GROWTH[1]:
            self.ledger.faults.append(f"the server grew from {middle:,} to {end:,} bytes")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--people", type=int, default=PEOPLE)
    options = parser.parse_args(arguments)
    logging.getLogger("fastchat.client").addHandler(logging.NullHandler())  # what is lost is counted
    soak = Soak(options.seed, options.minutes, options.people)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(soak.run())
    for what, count in sorted(soak.ledger.seen.items()):
        print(f"{count:10,}  {what}")
    print(f"{soak.sizes[0]:10,}  bytes of memory at the beginning, {soak.sizes[-1]:,} at the end")
    for fault in soak.ledger.faults[:20]:
        print(f"WRONG: {fault}")
    verdict = f"FAILED with {len(soak.ledger.faults)} faults" if soak.ledger.faults else "passed"
    print(f"{verdict}, --seed {options.seed}")
    return 1 if soak.ledger.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
