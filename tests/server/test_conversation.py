"""Clients of every kind talk with each other through one port."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fastchat.server import Server
from fastchat.transports.connection import Connection
from tests.conftest import Runner
from tests.server.certificate import make_certificate
from tests.server.parts import Parts
from tests.server.wire import (
    BINARY,
    BYE,
    CONNECT,
    ERROR,
    HISTORY,
    JOIN,
    MESSAGE,
    PING,
    PUBLISH,
    RESULT,
    WIRES,
    WS_PING,
    WS_PONG,
    WsPeer,
    client_frame,
    dial,
    pack,
    serving,
    tcp,
    upgrade,
    ws,
)


async def talk(peers: dict[str, Any]) -> None:
    """Everybody joins, everybody speaks, everybody hears everything in one order."""
    for peer in peers.values():
        await peer.join("lobby")
    for name, peer in peers.items():
        peer.send(PUBLISH, 0, "lobby", f"hello of {name}")
    heard = [[await peer.until(MESSAGE) for _ in peers] for peer in peers.values()]
    assert all(messages == heard[0] for messages in heard)
    assert [message[2] for message in heard[0]] == list(range(1, len(peers) + 1))
    assert {message[4]: message[5] for message in heard[0]} == {name: f"hello of {name}" for name in peers}


@pytest.mark.parametrize("backend", ["raw", "transport"])
def test_all_wires_meet_in_one_room(run: Runner, parts: Parts, backend: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "chat")
        async with serving(unix=path, backend=backend) as server, AsyncExitStack() as stack:
            assert server.addresses == [f"127.0.0.1:{server.port}", f"unix:{path}"]
            peers = {
                name: await stack.enter_async_context(dial(server, wire, name, unix=where))
                for name, wire, where in (
                    ("ada", "tcp", ""), ("bob", "ws", ""), ("cy", "json", ""), ("dan", "tcp", path),
                    ("eve", "ws", path),
                )
            }  # fmt: skip
            await talk(peers)

    run(scenario())


def test_all_wires_speak_tls(run: Runner, parts: Parts, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)

    async def scenario() -> None:
        async with serving(tls_cert=certificate, tls_key=key) as server, AsyncExitStack() as stack:
            peers = {
                wire: await stack.enter_async_context(dial(server, wire, wire, tls=trust))
                for wire in ("tcp", "ws", "json")
            }
            await talk(peers)
            async with dial(server, tls=trust) as page:
                page.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await page.rest()).startswith(b"HTTP/1.1 200 ")

    run(scenario())


@pytest.mark.parametrize("size", [1, 3, 7])
def test_bytes_may_come_in_any_pieces(run: Runner, parts: Parts, size: int) -> None:
    conversation = [
        (CONNECT, 1, 1, {"name": "ada"}), (JOIN, 2, "lobby", {}), (PUBLISH, 0, "lobby", "x" * 200)
    ]  # fmt: skip
    streams = {
        "tcp": b"".join(tcp(*message) for message in conversation),
        "ws": upgrade() + b"".join(ws(*message) for message in conversation),
    }

    async def trickle(server: Server, wire: str) -> None:
        async with dial(server) as raw:
            for piece in batched(streams[wire], size):
                raw.write(piece)
                await asyncio.sleep(0)
            if wire == "ws":
                await raw.reader.readuntil(b"\r\n\r\n")
            peer = WIRES[wire](raw.reader, raw.writer)
            results = [await peer.receive() for _ in range(3)]
            assert sorted(result[0] for result in results) == [RESULT, RESULT, MESSAGE]

    async def scenario() -> None:
        async with serving() as server:
            for wire in streams:
                await trickle(server, wire)

    run(scenario())


def batched(data: bytes, size: int) -> list[bytes]:
    return [data[place : place + size] for place in range(0, len(data), size)]


def test_all_may_come_at_once(run: Runner, parts: Parts) -> None:
    """Handshake, CONNECT, commands of different sizes and a ping in one segment."""

    async def scenario() -> None:
        async with serving() as server, dial(server) as raw:
            peer = WsPeer(raw.reader, raw.writer)
            commands = ws(CONNECT, 1, 1, {"name": "ada"}) + ws(JOIN, 2, "lobby", {})
            commands += ws(PUBLISH, 3, "lobby", "x" * 5000) + client_frame(WS_PING, b"still there?")
            peer.write(upgrade() + commands + ws(PING, 4))
            await peer.reader.readuntil(b"\r\n\r\n")
            frames = [await peer.receive_frame() for _ in range(6)]
            assert (WS_PONG, b"still there?") in frames
            assert [opcode for opcode, _ in frames].count(BINARY) == 5

    run(scenario())


@pytest.mark.parametrize("wire", ["tcp", "ws"])
def test_a_line_is_as_old_as_its_acceptance(run: Runner, parts: Parts, wire: str) -> None:
    """A CONNECT that comes late on an older line cuts nobody off, and a later line's takes over."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with serving() as server, AsyncExitStack() as stack:
            lines = []
            for number in range(4):
                lines.append(await stack.enter_async_context(dial(server, wire)))
                while len(server.wiring.connections) <= number:
                    await asyncio.sleep(0)
                accepted = loop.time()
                while loop.time() < accepted + 0.002:  # uvloop's clock goes in milliseconds
                    await asyncio.sleep(0)
            first, older, newer, newest = lines
            secret = (await first.connect("ada"))[2]["session"]
            await newer.connect("ada", resume=secret)
            older.send(CONNECT, 1, 1, {"name": "ada", "resume": secret})
            assert (await older.receive())[:3] == [ERROR, 1, 307]
            await newest.connect("ada", resume=secret)
            assert (await newer.receive())[:2] == [BYE, 207]

    run(scenario())


def test_fragments_and_pings_between_them_are_one_command(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, "ws", "ada") as peer:
            payload = pack(PING, 77)
            peer.write(client_frame(BINARY, payload[:2], 0) + client_frame(WS_PING, b"?"))
            assert await peer.receive_frame() == (WS_PONG, b"?")
            peer.write(client_frame(0, payload[2:]) + ws(PING, 78))
            assert [(await peer.receive())[1] for _ in range(2)] == [77, 78]

    run(scenario())


def test_pipelined_commands_beyond_a_turn_are_all_answered_in_order(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            for wire in ("tcp", "ws", "json"):
                async with dial(server, wire, f"ada-{wire}") as peer:
                    peer.write(b"".join(peer.frame(PING, number) for number in range(1, 1001)))
                    assert [(await peer.receive())[1] for _ in range(1000)] == list(range(1, 1001))

    run(scenario())


def test_a_flood_of_pings_is_answered_and_holds_nobody_up(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, "ws", "a") as flooder, dial(server, name="b") as other:
            flooder.write(client_frame(WS_PING, b"p") * 5000)
            other.send(PING, 5)
            assert (await other.receive())[1] == 5
            for _ in range(5000):
                assert await flooder.receive_frame() == (WS_PONG, b"p")

    run(scenario())


def test_long_frames_end_the_turn_as_many_do(run: Runner, parts: Parts) -> None:
    """Few frames fill a read, and libuv reads on until the socket is empty: it has to be stopped."""

    async def scenario() -> None:
        async with serving() as server, dial(server, name="ada") as peer:
            (connection,) = [one for one in server.wiring.connections if isinstance(one, Connection)]
            connection.data_received(tcp(PING, 0, "x" * 16_000) * 5)
            assert not connection.transport.is_reading()
            peer.send(PING, 5)
            assert (await peer.receive())[1] == 5
            assert connection.transport.is_reading()

    run(scenario())


def test_a_peer_that_asks_for_much_and_reads_late_is_served_as_it_reads(run: Runner, parts: Parts) -> None:
    """Its commands wait in its own socket, not as answers in our memory, and it is not cut for them."""
    asked, stored = 300, 20

    async def scenario() -> None:
        async with serving() as server:
            for wire in ("tcp", "ws"):
                async with dial(server, wire, "ada") as peer:
                    await peer.join("attic")
                    for _ in range(stored):
                        peer.send(PUBLISH, 0, "attic", b"x" * 10_000)
                    for _ in range(stored):
                        await peer.until(MESSAGE)
                    peer.writer.transport.pause_reading()
                    most = 0
                    for number in range(1, asked + 1):
                        peer.send(HISTORY, number, "attic", {"limit": stored})
                        await asyncio.sleep(0)
                        most = max(most, server.broadcaster.total)
                    peer.writer.transport.resume_reading()
                    left = list(range(1, asked + 1))
                    while left:
                        answers = [await peer.receive() for _ in left]
                        assert [answer[1] for answer in answers] == left
                        # 101: too much at once, but no reason to be cut
                        assert all(answer[0] == RESULT or answer[2] == 101 for answer in answers)
                        left = [answer[1] for answer in answers if answer[0] == ERROR]
                        for number in left:
                            peer.send(HISTORY, number, "attic", {"limit": stored})
                    assert 100_000 < most < 1_000_000

    run(scenario())
