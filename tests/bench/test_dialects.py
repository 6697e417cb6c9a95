"""A script drives a server that is not fastchat, and holds it to the same promises."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest

from fastchat.bench import dialects
from fastchat.bench.dialects import BINARY, CLIENT, MASK, TEXT, Frame, Interlude, Script, Step
from fastchat.bench.failure import BenchError
from fastchat.bench.plan import Plan

_swarm = pytest.importorskip("fastchat.bench._swarm")
driver = pytest.importorskip("fastchat.bench.driver")

PAYLOAD = 100
FAULTY = "00000003"  # the client who gets what is wrong
FAULTY_NUMBER = 20
ROUNDS = 10  # of the loop, enough for whatever a connection has to go through


def lines(**more: Any) -> Script:
    """A toy: `HELLO <client>`, then `OK`; lines `SAY <payload>` come back as `GOT <payload>`."""
    parts: dict[str, Any] = {
        "opening": (
            Step(until=b"?\r\n", holds=b"WHO"),
            Step(b"HELLO " + CLIENT + b"\r\n"),
            Step(b"READY\r\n", b"OK\r\n"),
        ),
        "publish": Frame(b"SAY ", b"\r\n"),
        "delivery": Frame(b"GOT ", b"\r\n"),
        "interludes": (
            Interlude(b"PING\r\n", answer=b"PONG\r\n"),
            Interlude(b"NEWS ", b"\r\n"),
            Interlude(b"ERR ", b"\r\n", wrong=True),
        ),
    }
    return Script(**{**parts, **more})


Fault = Callable[[bytes], bytes]  # of the line that the faulty client gets instead


class Toy(asyncio.Protocol):
    def __init__(self, connections: list[Toy], members: list[Toy], fault: Fault) -> None:
        connections.append(self)
        self.members = members
        self.fault = fault
        self.data = b""
        self.name = ""
        self.pongs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"WHO? ")
        transport.write(b"NOW?\r\n")

    def data_received(self, data: bytes) -> None:
        *whole, self.data = (self.data + data).split(b"\r\n")
        for line in whole:
            word, _, rest = line.partition(b" ")
            if word == b"HELLO":
                self.name = rest.decode()
            elif word == b"READY":
                self.members.append(self)
                self.transport.write(b"OK\r\nNEWS of the day\r\nPING\r\n")
            elif word == b"PONG":
                self.pongs += 1
            else:
                self.fan_out(rest)

    def fan_out(self, payload: bytes) -> None:
        line = b"GOT " + payload + b"\r\n"
        number = int(payload[:16], 16)
        for member in self.members:
            faulty = member.name == FAULTY and number == FAULTY_NUMBER
            member.transport.write(self.fault(line) if faulty else line)


async def _serve(ports: Queue[int], stop: asyncio.Event, members: list[Toy], fault: Fault) -> None:
    loop = asyncio.get_running_loop()
    connections: list[Toy] = []
    server = await loop.create_server(lambda: Toy(connections, members, fault), "127.0.0.1", 0)
    ports.put(server.sockets[0].getsockname()[1])
    await stop.wait()
    for _ in range(ROUNDS):  # those that are just being accepted
        await asyncio.sleep(0)
    server.close()
    for toy in connections:
        toy.transport.abort()
    for _ in range(ROUNDS):  # their connection_lost
        await asyncio.sleep(0)


@contextmanager
def toy(members: list[Toy], fault: Fault = lambda line: line) -> Iterator[int]:
    ports: Queue[int] = Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    serve = _serve(ports, stop, members, fault)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve,))
    thread.start()
    try:
        yield ports.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def load(port: int, script: Script, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "groups": ((1, 5),), "mode": "flood", "count": 50, "window": 4, "warmup": 0, "seconds": 1.0,
        "drain": 0.5, "publishers": 1, "payload": PAYLOAD,
    }  # fmt: skip
    swarm = _swarm.Swarm(Plan(port=port, dialect="toy", **{**options, **more}), script)
    swarm.connect()
    sample: dict[str, Any] = swarm.run()
    return sample


@pytest.mark.parametrize("chunk", [1, 13, 262_144])
@pytest.mark.parametrize("publishers", [1, 0])
def test_a_right_server_passes(publishers: int, chunk: int) -> None:
    members: list[Toy] = []
    with toy(members) as port:
        sample = load(port, lines(), publishers=publishers, chunk=chunk, seconds=8, drain=8)
    assert set(sample["errors"].values()) == {0}, sample["first_error"]
    assert sample["deliveries"] == 250 and sample["sent"] == 50
    assert [member.pongs for member in members] == [1] * 5
    assert {member.name for member in members} == {f"{i:08}" for i in range(5)}


def test_paced() -> None:
    with toy([]) as port:
        sample = load(port, lines(), mode="paced", rate=200, seconds=0.4, drain=8)
    assert set(sample["errors"].values()) == {0}, sample["first_error"]
    assert sample["each_us"]["count"] == 5 * sample["last_us"]["count"] > 0


FAULTS: dict[str, tuple[Fault, str]] = {
    "lost": (lambda line: b"", "lost"),
    "twice": (lambda line: line * 2, "duplicate"),
    "another byte": (lambda line: line[:-3] + b"~\r\n", "corrupt"),
    "another stamp": (lambda line: b"GOT f" + line[5:], "corrupt"),
    "an error": (lambda line: line + b"ERR oh dear\r\n", "refused"),
}


@pytest.mark.parametrize("fault, kind", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_seen(fault: Fault, kind: str) -> None:
    with toy([], fault) as port:
        sample = load(port, lines())
    assert sample["errors"][kind] > 0, sample
    assert sample["first_error"].startswith("client 3: ")


def test_what_fits_nothing_loses_the_framing() -> None:
    with toy([], lambda line: b"HUH\r\n") as port, pytest.raises(BenchError, match="framing is lost at: HUH"):
        load(port, lines())


def test_an_opening_that_is_refused_is_told() -> None:
    script = lines(opening=(Step(until=b"\r\n", holds=b"WELCOME"),))
    with toy([]) as port, pytest.raises(BenchError, match="step 1 of the opening was refused: WHO"):
        load(port, script)


def test_an_opening_that_never_ends_has_a_deadline() -> None:
    with toy([]) as port, pytest.raises(BenchError, match="0 of 5 clients are ready after 0.5 s"):
        load(port, lines(opening=(Step(until=b"WELCOME"),)), timeout=0.5)


def test_a_dialect_without_a_common_order_takes_one_publisher() -> None:
    with pytest.raises(BenchError, match="publishers must be 1"):
        driver.script_of(Plan(dialect="nats", groups=((1, 5),)))


def test_the_own_dialect_has_an_opening_over_websocket_only() -> None:
    assert driver.script_of(Plan()) is None
    script = driver.script_of(Plan(wire="ws"))
    assert script is not None and script.publish is None


@pytest.mark.parametrize("size, expected", [(5, "8105"), (200, "817e00c8"), (70_000, "817f0000000000011170")])
def test_websocket_headers(size: int, expected: str) -> None:
    assert dialects.header(TEXT, size).hex() == expected


def test_a_masked_frame_holds_its_message() -> None:
    frame = dialects.masked(TEXT, b"3")
    assert frame == bytes((0x81, 0x81)) + MASK + bytes((ord("3") ^ MASK[0],))


def test_a_delivery_has_the_header_in_front() -> None:
    frame = dialects.delivered(BINARY, Frame(b"a", b"bc"), 200)
    assert frame == Frame(bytes((0x82, 126, 0, 203)) + b"a", b"bc")
