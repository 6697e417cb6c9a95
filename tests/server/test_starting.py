"""How servers start: what cannot work is said with advice; TLS; Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config
from fastchat.errors import ConfigError
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.certificate import make_certificate
from tests.server.parts import Parts
from tests.server.wire import PING, dial, get, http, serving, tcp


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
