"""Caps on connections at the socket: who is refused, how, and that room comes free again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import BYE, CONNECT, PING, RESULT, dial, get, http, serving, tcp, upgrade

ROOT = Path(__file__).parents[2]


def test_over_the_cap_everybody_is_told_in_his_own_words(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(max_connections=2) as server:
            async with dial(server, "tcp", "ada") as ada, dial(server, "ws", "bob"):
                async with dial(server) as peer:
                    peer.write(tcp(CONNECT, 1, 1, {"name": "cy"}))
                    op, code, _, opts = await peer.receive()
                    assert (op, code, opts["reconnect"]) == (BYE, 404, True)
                    assert opts["after_ms"] > 0
                    assert await peer.rest() == b""
                status, headers, _ = await http(server, get("/"))
                assert status == 503 and int(headers["retry-after"]) > 0
                assert (await http(server, upgrade()))[0] == 503
                async with dial(server) as foreign:
                    foreign.write(b"\xff")
                    assert await foreign.rest() == b""
                ada.send(PING, 1)
                assert (await ada.receive())[:2] == [RESULT, 1]

    run(scenario())


def test_a_place_that_comes_free_is_given_again(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(max_connections=1) as server:
            for wire in ("tcp", "ws", "json", "tcp"):
                async with dial(server, wire, "ada"):
                    pass
                while server.connections:  # the server has not seen the end yet
                    await asyncio.sleep(0.01)
            assert (await http(server, get("/healthz")))[0] == 200
            while server.connections:
                await asyncio.sleep(0.01)
            async with dial(server, "tcp", "ada"):
                assert server.connections == 1

    run(scenario())


def test_silent_connections_over_the_cap_are_bounded_in_number_and_time(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(max_connections=1) as server, dial(server, "tcp", "ada") as ada:
            loop = asyncio.get_running_loop()
            began = loop.time()
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(150)]
            ends = asyncio.gather(*(reader.read() for reader, _ in silent), return_exceptions=True)
            ada.send(PING, 1)
            assert (await ada.receive())[:2] == [RESULT, 1]
            await ends
            assert loop.time() - began < 1.0 + 2.0
            for _, writer in silent:
                writer.close()

    run(scenario())


def test_one_address_may_not_take_all(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        few = {"connections_per_address": 3, "exempt_addresses": ()}
        async with serving(**few) as server, AsyncExitStack() as stack:
            for name in ("ada", "bob", "cy"):
                await stack.enter_async_context(dial(server, "tcp", name))
            async with dial(server) as peer:
                peer.send(PING, 1)
                assert (await peer.receive())[:2] == [BYE, 404]

    run(scenario())


def test_unix_sockets_and_exempt_addresses_have_no_cap_of_their_own(
    run: Runner, parts: Parts, tmp_path: Path
) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "chat")
        async with serving(connections_per_address=1, unix=path) as server, AsyncExitStack() as stack:
            for place, where in enumerate(("", "", path, path)):
                await stack.enter_async_context(dial(server, "tcp", f"user{place}", unix=where))
            assert server.connections == 4

    run(scenario())


FEW_DESCRIPTORS = """
import asyncio, resource, sys, uvloop
from fastchat.config import Config
from fastchat.server import Server

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (320, 320))
    server = Server(Config(port=0, max_connections=int(sys.argv[2])))
    await server.start()
    if sys.argv[3] == "no cap":
        server.wiring.caps = type(server.wiring.caps)(10**6, 0, ())
    print(server.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()

(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.parametrize(
    ("configured", "descriptors", "warns"),
    [(0, 300, True), (60, 300, True), (40, 300, False), (0, 1024, False)],
)
def test_a_cap_that_nobody_asked_for_is_told(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    configured: int,
    descriptors: int,
    warns: bool,
) -> None:
    monkeypatch.setattr("fastchat.transports.caps.raise_descriptor_limit", lambda: descriptors)

    async def scenario() -> None:
        async with serving(max_connections=configured):
            told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
            wanted = "the limit of 300 open files leaves room for 44 connections (ulimit -n)"
            assert told == ([wanted] if warns else [])

    asyncio.run(scenario())


def crowd(loop_name: str, cap: str) -> None:
    """Connect more often than the server has descriptors, then see that it still serves."""
    server = subprocess.Popen(
        [sys.executable, "-c", FEW_DESCRIPTORS, loop_name, "0", cap],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    try:
        port = int(server.stdout.readline())
        asyncio.run(overrun(port))
    finally:
        _, printed = server.communicate("")
    assert server.returncode == 0, printed
    assert "Traceback" not in printed or cap == "no cap", printed


async def overrun(port: int) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
    first_reader, first_writer = opened[0]
    for _, writer in opened[1:]:
        writer.close()
    first_writer.write(tcp(CONNECT, 1, 1, {"name": "ada"}))
    assert await asyncio.wait_for(first_reader.readexactly(4), 10)
    first_writer.close()
    for attempt in range(100):  # the server has to see the others' ends first
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(tcp(CONNECT, 1, 1, {"name": f"bob{attempt}"}))
        try:
            answer = await asyncio.wait_for(reader.readexactly(6), 10)
        except (asyncio.IncompleteReadError, ConnectionError):
            answer = b""
        writer.close()
        if answer[5:] == b"\x40":  # RESULT
            return
        await asyncio.sleep(0.1)
    raise AssertionError("nobody was served any more")


def test_the_cap_stays_below_the_descriptors(run: Runner) -> None:
    crowd(run.loop_name, "capped")


def test_running_out_of_descriptors_kills_nothing(run: Runner) -> None:
    crowd(run.loop_name, "no cap")
