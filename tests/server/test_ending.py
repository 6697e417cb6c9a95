"""How connections and servers end: the last words arrive, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config
from fastchat.errors import ConfigError
from fastchat.server import Server
from fastchat.transports.connection import Connection
from tests.conftest import Runner
from tests.server.certificate import make_certificate
from tests.server.parts import Parts
from tests.server.wire import BYE, MESSAGE, PING, PUBLISH, WIRES, dial, get, http, serving, tcp

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


def test_a_server_that_cannot_start_leaves_nothing_open(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        taken = tmp_path / "taken"
        taken.write_text("")
        server = Server(Config(port=0, unix=str(taken)))
        with pytest.raises(ConfigError, match="is no socket"):
            await server.start()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    run(scenario())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"host": ""}, "nowhere to listen"),
        ({"host": "0.0.0.0"}, "--allow-insecure-bind"),
        ({"tls_cert": "/no/such/file.pem"}, "no such file"),
        ({"tls_key": "/no/such/file.pem"}, "--tls-cert"),
        ({"tls_cert": __file__}, "PEM"),
    ],
)
def test_what_cannot_work_is_said_with_advice(run: Runner, settings: dict[str, Any], text: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match=text):
            await Server(Config(**{"port": 0, **settings})).start()

    run(scenario())


def test_an_encrypted_key_is_refused_and_not_asked_for(run: Runner, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True, capture_output=True,
    )  # fmt: skip

    async def scenario() -> None:
        with pytest.raises(ConfigError, match="encrypted"):
            await Server(Config(port=0, tls_cert=certificate, tls_key=str(locked))).start()

    run(scenario())


def test_plain_bytes_on_a_tls_port_are_nobodys_trouble(run: Runner, parts: Parts, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)

    async def scenario() -> None:
        async with serving(tls_cert=certificate, tls_key=key, connect_seconds=0.5) as server:
            for data in (tcp(PING, 1), get("/"), b""):
                async with dial(server) as peer:
                    peer.write(data)
                    assert b"200" not in await peer.rest()

    run(scenario())


def test_handshakes_of_tls_that_do_not_end_are_counted_and_given_up(
    run: Runner, parts: Parts, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    few = {"connections_per_address": 3, "exempt_addresses": (), "connect_seconds": 0.5}

    async def scenario() -> None:
        async with serving(tls_cert=certificate, tls_key=key, **few) as server:
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
            for reader, _ in silent[3:]:
                assert await reader.read() == b""
            assert server.connections == 3
            for reader, writer in silent:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            while server.connections:
                await asyncio.sleep(0.01)
            async with dial(server, "tcp", "ada", tls=trust) as peer:
                peer.send(PING, 1)
                assert (await peer.receive())[1] == 1
                assert server.connections == 1
            unfinished = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.sleep(0.05)
        unfinished[1].close()
        assert server.connections == 0

    run(scenario())


def test_without_a_host_only_the_unix_socket_listens(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "chat")
        async with serving(host="", unix=path) as server:
            assert (server.addresses, server.port) == ([f"unix:{path}"], 0)
            async with dial(server, "tcp", "ada", unix=path) as peer:
                peer.send(PING, 1)
                assert (await peer.receive())[1] == 1
        assert not os.path.exists(path)

    run(scenario())


def test_the_port_is_free_again_after_a_stop(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as first, dial(first, "tcp", "ada"):
            port = first.port
        async with serving(port=port) as second:
            assert (await http(second, get("/healthz")))[0] == 200

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
