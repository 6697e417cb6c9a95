"""The broadcast core, both twins, beside the loops one writes without it: members on loopback TCP.

pytest benchmarks/bench_broadcast.py --benchmark-enable --benchmark-group-by=group

Each round puts the frames and sends them to every member; the far ends are read between rounds. What counts
is CPU time of this process, the kernel's part included. "loop" writes every frame to every member as it
comes, "joined" joins the frames first and writes once per member: what remains of both is nearly all system
calls. "raw" is a twin on descriptors, "transport" a twin over `write`.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastchat.broadcast import Wire
from fastchat.config import Policy
from tests.twins import twins

TWINS = twins("fastchat._broadcast", "fastchat._broadcast_py")
PAYLOAD = b"x" * 110  # a message of 100 bytes of text
FRAME = len(PAYLOAD).to_bytes(4, "big") + PAYLOAD
BIG = 1 << 30
MEMBERS = pytest.mark.parametrize("members", [100, 1000])
FRAMES = pytest.mark.parametrize("frames", [1, 64])
RAW = pytest.mark.parametrize("raw", [True, False], ids=["raw", "transport"])
pytestmark = pytest.mark.benchmark(timer=time.process_time)
TWIN = pytest.mark.parametrize("twin", TWINS)


class Sink:
    """A transport whose socket always takes all."""

    def __init__(self, sock: socket.socket) -> None:
        self.write: Callable[[bytes], Any] = sock.send

    def slow(self) -> None:
        raise AssertionError("the readers keep up")

    ended = slow

    def failed(self, errno: int) -> None:
        raise OSError(errno)


class Pairs:
    """Connected pairs on loopback, kept for all benchmarks."""

    def __init__(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.near: list[socket.socket] = []
        self.far: list[socket.socket] = []

    def take(self, count: int) -> list[socket.socket]:
        while len(self.near) < count:
            self.far.append(socket.create_connection(self.listener.getsockname()))
            near, _ = self.listener.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setblocking(False)
            self.far[-1].setblocking(False)
            self.near.append(near)
        return self.near[:count]

    def drain(self) -> None:
        for sock in self.far:
            try:
                sock.recv(1 << 20)
            except BlockingIOError:
                continue

    def close(self) -> None:
        for sock in (self.listener, *self.near, *self.far):
            sock.close()


@pytest.fixture(scope="module")
def pairs() -> Iterator[Pairs]:
    made = Pairs()
    yield made
    made.close()


class Bench:
    """A broadcaster of one twin with an outbox for each socket."""

    def __init__(self, twin: Any, near: list[socket.socket], raw: bool) -> None:
        self.core = twin.Broadcaster(
            wake=lambda: None,
            to_json=bytes,
            clock=time.monotonic,
            outbox_bytes=BIG,
            total_bytes=BIG,
            batch_bytes=BIG,
        )
        self.outboxes = [
            self.core.outbox(Sink(sock), Wire.TCP, sock.fileno() if raw else -1) for sock in near
        ]

    def room(self) -> Any:
        room = self.core.fanout(Policy.DISCONNECT, lambda start, end, why: b"")
        for outbox in self.outboxes:
            room.add(outbox)
        return room

    def flush(self) -> None:
        while self.core.flush(0.0):
            pass


def measure(benchmark: Any, pairs: Pairs, group: str, target: Callable[[], None]) -> None:
    benchmark.group = group
    benchmark.pedantic(target, setup=pairs.drain, rounds=30, warmup_rounds=3)


@MEMBERS
@FRAMES
def test_loop(benchmark: Any, pairs: Pairs, members: int, frames: int) -> None:
    near = pairs.take(members)

    def target() -> None:
        for _ in range(frames):
            for sock in near:
                sock.send(FRAME)

    measure(benchmark, pairs, f"fan-out of {frames} to {members}", target)


@MEMBERS
@FRAMES
def test_joined(benchmark: Any, pairs: Pairs, members: int, frames: int) -> None:
    near = pairs.take(members)

    def target() -> None:
        joined = b"".join([FRAME] * frames)
        for sock in near:
            sock.send(joined)

    measure(benchmark, pairs, f"fan-out of {frames} to {members}", target)


@MEMBERS
@FRAMES
@RAW
@TWIN
def test_fanout(benchmark: Any, pairs: Pairs, twin: Any, raw: bool, members: int, frames: int) -> None:
    bench = Bench(twin, pairs.take(members), raw)
    room = bench.room()

    def target() -> None:
        for i in range(frames):
            room.put(PAYLOAD, i)
        bench.flush()

    measure(benchmark, pairs, f"fan-out of {frames} to {members}", target)


@RAW
@TWIN
def test_three_rooms(benchmark: Any, pairs: Pairs, twin: Any, raw: bool) -> None:
    """Frames of three rooms and of the connection's own, merged by order into one send."""
    bench = Bench(twin, pairs.take(100), raw)
    rooms = [bench.room() for _ in range(3)]

    def target() -> None:
        for i in range(8):
            for room in rooms:
                room.put(PAYLOAD, i)
            for outbox in bench.outboxes:
                outbox.put(PAYLOAD)
        bench.flush()

    measure(benchmark, pairs, "8 rounds of three rooms and a reply to 100", target)


def test_replies_loop(benchmark: Any, pairs: Pairs) -> None:
    near = pairs.take(100)

    def target() -> None:
        for sock in near:
            for _ in range(16):
                sock.send(FRAME)

    measure(benchmark, pairs, "16 replies to each of 100", target)


@RAW
@TWIN
def test_replies(benchmark: Any, pairs: Pairs, twin: Any, raw: bool) -> None:
    bench = Bench(twin, pairs.take(100), raw)

    def target() -> None:
        for outbox in bench.outboxes:
            for _ in range(16):
                outbox.put(PAYLOAD)
        bench.flush()

    measure(benchmark, pairs, "16 replies to each of 100", target)


@TWIN
def test_put(benchmark: Any, pairs: Pairs, twin: Any) -> None:
    """What a message costs before the flush, whatever the number of members."""
    bench = Bench(twin, pairs.take(1000), True)
    room = bench.room()

    def target() -> None:
        for i in range(64):
            room.put(PAYLOAD, i)

    def setup() -> None:
        bench.flush()
        pairs.drain()

    benchmark.group = "64 puts into a room of 1000"
    benchmark.pedantic(target, setup=setup, rounds=30, warmup_rounds=3)


NEAR = "64 messages, each near 20 of 1000, to their sockets"
SIDE = 32  # members stand in a square, one apart: a circle of this radius holds 21 of them
RADIUS = 2.5
PLACES = [(float(i % SIDE), float(i // SIDE)) for i in range(1000)]
HEARD = [(5.0 + number % 20, 5.0 + number // 20) for number in range(64)]


@TWIN
def test_near(benchmark: Any, pairs: Pairs, twin: Any) -> None:
    bench = Bench(twin, pairs.take(1000), True)
    room = bench.core.fanout(Policy.DISCONNECT, lambda start, end, why: b"", 0.0, RADIUS)
    for outbox, place in zip(bench.outboxes, PLACES, strict=True):
        room.add(outbox)
        room.place(outbox, *place)

    def target() -> None:
        for place in HEARD:
            room.put(PAYLOAD, at=place)
        bench.flush()

    measure(benchmark, pairs, NEAR, target)


@TWIN
def test_near_by_comparing(benchmark: Any, pairs: Pairs, twin: Any) -> None:
    """What one writes without a grid: compare with every member, put on the outboxes of the near ones."""
    bench = Bench(twin, pairs.take(1000), True)
    members = list(zip(bench.outboxes, PLACES, strict=True))

    def target() -> None:
        for x, y in HEARD:
            for outbox, (a, b) in members:
                if (a - x) * (a - x) + (b - y) * (b - y) <= RADIUS * RADIUS:
                    outbox.put(PAYLOAD)
        bench.flush()

    measure(benchmark, pairs, NEAR, target)


@TWIN
def test_near_as_everybody(benchmark: Any, pairs: Pairs, twin: Any) -> None:
    """The same messages to the whole room."""
    bench = Bench(twin, pairs.take(1000), True)
    room = bench.room()

    def target() -> None:
        for _ in HEARD:
            room.put(PAYLOAD)
        bench.flush()

    measure(benchmark, pairs, NEAR, target)
