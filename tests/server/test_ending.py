"""How connections and servers end: the last words arrive, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fastchat.transports.connection import Connection
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import BYE, MESSAGE, PING, PUBLISH, WIRES, dial, serving, tcp

ROOT = Path(__file__).parents[2]


def test_a_drain_says_bye_to_everybody_and_ends_when_they_are_gone(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, AsyncExitStack() as stack:
            peers = {wire: await stack.enter_async_context(dial(server, wire, wire)) for wire in WIRES}
            undecided = await stack.enter_async_context(dial(server))
            draining = asyncio.create_task(server.drain())
            for wire, peer in peers.items():
                op, code, _, opts = await peer.receive()
                assert (op, code, opts["reconnect"]) == (BYE, 102, True)
                assert opts["after_ms"] > 0
                if wire != "tcp":
                    assert await peer.close_code() == 4102
                assert await peer.rest() == b""
                await peer.close()
            assert await undecided.rest() == b""
            await draining
            assert (server.connections, server.hub.sessions) == (0, set())
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)

    run(scenario())


def test_what_was_said_before_the_drain_arrives_before_the_bye(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, "tcp", "ada") as peer:
            await peer.join("lobby")
            peer.write(b"".join(tcp(PUBLISH, 0, "lobby", number) for number in range(50)))
            first = await peer.receive()
            draining = asyncio.create_task(server.drain())
            heard = [first[5]]
            while (message := await peer.receive())[0] == MESSAGE:
                heard.append(message[5])
            assert message[:2] == [BYE, 102]
            assert heard == list(range(50))
            await peer.close()
            await draining

    run(scenario())


def test_a_drain_does_not_wait_for_ever_for_those_who_do_not_read(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        async with serving(drain_seconds=0.3, linger_seconds=30.0) as server, dial(server, "tcp", "ada"):
            began = clock()
            await server.drain()
            assert 0.2 <= clock() - began <= 0.3 + 2.0
            assert server.connections == 0

    run(scenario())


def test_bye_reaches_a_peer_that_goes_on_sending(run: Runner, parts: Parts) -> None:
    """Closing with input unread would reset the connection, and the BYE would be lost."""

    async def scenario() -> None:
        async with serving() as server, dial(server, "tcp", "ada") as peer:
            peer.write(b"\x00\xff\xff\xff" + b"x" * 1_000_000)
            await peer.writer.drain()
            assert (await peer.receive())[:2] == [BYE, 305]
            assert await peer.rest() == b""

    run(scenario())


def test_a_peer_that_floods_after_bye_is_cut(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(linger_seconds=60.0) as server, dial(server, "tcp", "ada") as peer:
            peer.write(b"\x00\xff\xff\xff")
            assert (await peer.receive())[:2] == [BYE, 305]
            with pytest.raises(ConnectionError):
                for _ in range(100):
                    peer.write(b"x" * 1_000_000)
                    await peer.writer.drain()

    run(scenario())


def test_a_peer_that_has_finished_still_gets_its_answers(run: Runner, parts: Parts) -> None:
    """As with `printf ... | nc`: the client's side is shut before the answers come."""

    async def scenario() -> None:
        async with serving() as server, dial(server, "tcp", "ada") as peer:
            peer.write(b"".join(tcp(PING, number) for number in range(1, 501)))
            peer.writer.write_eof()
            assert [(await peer.receive())[1] for _ in range(500)] == list(range(1, 501))
            assert await peer.rest() == b""

    run(scenario())


def test_a_member_that_closes_leaves_at_once(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            for wire in WIRES:
                async with dial(server, wire, "ada") as peer:
                    await peer.join("lobby")
                while server.hub.rooms:
                    await asyncio.sleep(0.01)

    run(scenario())


def test_a_reset_is_an_end_like_any_other(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            for wire in WIRES:
                async with dial(server, wire, "ada") as peer:
                    raw = peer.writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                while server.connections:
                    await asyncio.sleep(0.01)

    run(scenario())


@pytest.mark.parametrize("backend", ["raw", "transport"])
def test_a_slow_consumer_is_cut_and_the_others_get_everything(
    run: Runner, parts: Parts, backend: str
) -> None:
    count, data = 400, b"x" * 15_000

    async def scenario() -> None:
        small = {"outbox_bytes": 256 * 1024, "sndbuf": 16 * 1024, "linger_seconds": 0.3, "backend": backend}
        async with serving(**small) as server, AsyncExitStack() as stack:
            stalled, reader, writer = [
                await stack.enter_async_context(dial(server, "tcp", name)) for name in ("s", "r", "w")
            ]
            stalled.writer.transport.pause_reading()
            for peer in (stalled, reader):
                peer.send(2, 0, "lobby", {})
            await writer.join("lobby")

            async def publish() -> None:
                for number in range(1, count + 1):
                    writer.send(PUBLISH, number, "lobby", data, {"echo": False})
                    await writer.receive()

            publishing = asyncio.create_task(publish())
            assert [(await reader.receive())[2] for _ in range(count)] == list(range(1, count + 1))
            await publishing
            while server.connections > 2:
                await asyncio.sleep(0.01)
            stats = server.broadcaster.stats()
            assert stats.slow + stats.cut == 1

    run(scenario())


def test_a_connection_that_is_lost_leaves_no_cycle_for_the_collector(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            gc.collect()
            gc.disable()
            try:
                for wire in WIRES:
                    async with dial(server, wire, "ada") as peer:
                        await peer.join("lobby")
                        before = [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
                        assert len(before) == 1
                        del before
                    while server.connections:
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0.01)
                    left = [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
                    assert left == []
            finally:
                gc.enable()

    run(scenario())


RUN = """
import asyncio, logging, sys, uvloop
from fastchat.config import Config
from fastchat.server import Server

async def main():
    server = Server(Config(port=0, drain_seconds=60.0, linger_seconds=60.0))
    await server.run(lambda: print(server.port, flush=True))

(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_a_second_one_ends_at_once(run: Runner, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN, run.loop_name],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as client:
            client.sendall(tcp(1, 1, 1, {"name": "ada"}))
            client.settimeout(10)
            assert client.recv(65536)
            process.send_signal(number)
            last = client.recv(65536)  # the connection stays open: we do not close our side
            assert b"going down" in last
            process.send_signal(number)
            printed, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, printed, errors) == (0, "ended\n", "")
