"""A message's way through the server without sockets: decode, hub, engine, fan-out, and flush into nothing.

    pytest benchmarks/bench_hub.py --benchmark-enable --benchmark-group-by=group

"cython" and "pure" are the broadcast cores under the same hub; codec and framing are those in use. "threaded"
is what a baseline does with the same bytes: as many calls as there are deliveries, none of them a send.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import pytest

from fastchat import broadcast
from fastchat.baselines.dialogue import Dialogue
from fastchat.baselines.hall import Hall
from fastchat.broadcast import Wire
from fastchat.config import Config
from fastchat.protocol import codec
from fastchat.protocol.framing import TcpFramer, tcp_frame
from fastchat.protocol.messages import Connect, Join, Leave, Ping, Publish
from tests.hub.stage import START, Client, Stage, options
from tests.twins import twins

TWIN = pytest.mark.parametrize("twin", twins("fastchat._broadcast", "fastchat._broadcast_py"))
MEMBERS = pytest.mark.parametrize("members", [1, 100, 1000])
TEXT = codec.pack("x" * 98)  # 100 bytes
COUNT = 64  # commands of one read
LIMIT = 16 * 1024
pytestmark = pytest.mark.benchmark(timer=time.process_time)


class Deaf(Client):
    """A client that takes everything and looks at nothing, once it is in its room."""

    deaf = False

    def write(self, data: bytes) -> None:
        if not self.deaf:
            super().write(data)


class Nobody:
    """A member of a baseline's room to whom nothing is sent."""

    lock = nullcontext()

    def send(self, frames: bytes, patient: bool = True) -> bool:
        return True

    def write(self, frames: bytes) -> None:
        return None


def stage(twin: Any, members: int, config: Config | None = None) -> tuple[Stage, Deaf]:
    """A room of so many, and its first member."""
    made = Stage(config, core=twin.Broadcaster)
    made.client = Deaf
    found = made.join(*(f"user-{number}" for number in range(members)))
    for one in found:
        one.deaf = True
    return made, found[0]


def measure(benchmark: Any, group: str, target: Any, setup: Any = None) -> None:
    benchmark.group = group
    benchmark.pedantic(target, setup=setup, rounds=30, warmup_rounds=3)


def payloads() -> list[bytes]:
    return [codec.encode_command(Publish(number, "lobby", TEXT)) for number in range(1, COUNT + 1)]


@MEMBERS
@TWIN
def test_publish(benchmark: Any, twin: Any, members: int) -> None:
    """From the bytes of one read to what would be sent, and the sender's results."""
    made, publisher = stage(twin, members)
    stream = b"".join(map(tcp_frame, payloads()))
    framer = TcpFramer()

    def target() -> None:
        framer.feed(stream)
        publisher.session.receive(framer.cut(LIMIT), START)
        made.flush()

    measure(benchmark, f"{COUNT} PUBLISH in one read, room of {members}", target)
    assert made.faults == []


@MEMBERS
def test_publish_threaded(benchmark: Any, members: int) -> None:
    hall = Hall(Config(), "n", nullcontext)
    publisher = Dialogue(hall, Nobody())
    for number in range(members):
        one = Dialogue(hall, Nobody()) if number else publisher
        one.receive(tcp_frame(codec.encode_command(Connect(1, rooms={"lobby": None}))), START)
    stream = b"".join(map(tcp_frame, payloads()))
    measure(
        benchmark,
        f"{COUNT} PUBLISH in one read, room of {members}",
        lambda: publisher.receive(stream, START),
    )


@TWIN
def test_publish_before_the_flush(benchmark: Any, twin: Any) -> None:
    """Decode, hub, engine and fan-out, whatever the number of members."""
    made, publisher = stage(twin, 100)
    commands = payloads()
    measure(
        benchmark,
        f"{COUNT} PUBLISH, not flushed",
        lambda: publisher.session.receive(commands, START),
        made.flush,
    )


@pytest.mark.parametrize("limits", ["off", "on", "refused"])
def test_publish_within_limits(benchmark: Any, limits: str) -> None:
    """What the limits cost who keeps to them, and what it costs to refuse who does not."""
    rate, burst = (0.01, 1) if limits == "refused" else (10_000.0, 1_000_000)
    config = options(rate_limits=limits != "off", rate=rate, burst=burst, rate_bytes=2**30)
    made, publisher = stage(broadcast, 1, config)
    commands = payloads()
    measure(
        benchmark,
        f"{COUNT} PUBLISH of one user, not flushed",
        lambda: publisher.session.receive(commands, START),
        made.flush,
    )


@TWIN
def test_ping(benchmark: Any, twin: Any) -> None:
    made, one = stage(twin, 1)
    commands = [codec.encode_command(Ping(number)) for number in range(1, COUNT + 1)]

    def target() -> None:
        one.session.receive(commands, START)
        made.flush()

    measure(benchmark, f"{COUNT} PING in one read", target)


@TWIN
def test_join_and_leave(benchmark: Any, twin: Any) -> None:
    """Rooms that exist: they have a member who stays."""
    made, _ = stage(twin, 1)
    guest = made.new("guest")
    guest.deaf = True
    pair = [codec.encode_command(Join(7, "lobby")), codec.encode_command(Leave(8, "lobby"))]

    def target() -> None:
        for _ in range(COUNT // 2):
            guest.session.receive(pair, START)
        made.flush()

    measure(benchmark, f"{COUNT // 2} JOIN and LEAVE", target)


@TWIN
def test_connect_and_go(benchmark: Any, twin: Any) -> None:
    """A session from beginning to end, with one room."""
    made, _ = stage(twin, 1)
    hello = [codec.encode_command(Connect(1, rooms={"lobby": None}))]

    def target() -> None:
        for _ in range(COUNT):
            one = Deaf(made, Wire.TCP)
            one.deaf = True
            one.session.receive(hello, START)
            made.flush()
            one.close()

    measure(benchmark, f"{COUNT} sessions, from CONNECT to the end", target)
