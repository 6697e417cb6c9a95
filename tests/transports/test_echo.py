"""The echo of the Autobahn suite is nowhere near a user."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fastchat
from fastchat.config import Config
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.wire import BINARY, TEXT, client_frame, dial, serving


def test_no_setting_leads_to_it() -> None:
    assert not [field.name for field in dataclasses.fields(Config) if "echo" in field.name]
    package = Path(fastchat.__file__).parent
    callers = [path.name for path in package.rglob("*.py") if "echo=True" in path.read_text()]
    assert callers == ["echo.py"]  # where the docstring says how to get it


def test_a_server_has_none_unless_it_is_asked_for(run: Runner) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, "ws") as peer:
            peer.write(client_frame(BINARY, b"echo?"))
            assert (await peer.receive())[:3] == [65, 0, 300]

    run(scenario())


def test_it_sends_whole_messages_back_each_kind_as_it_came(run: Runner) -> None:
    async def scenario() -> None:
        server = Server(Config(port=0), echo=True)
        await server.start()
        try:
            async with dial(server, "ws") as peer:
                peer.write(client_frame(TEXT, b"a") + client_frame(BINARY, b"b"))
                peer.write(client_frame(TEXT, b"c", 0) + client_frame(0, b"d"))
                frames = [await peer.receive_frame() for _ in range(3)]
                assert frames == [(TEXT, b"a"), (BINARY, b"b"), (TEXT, b"cd")]
                peer.write(client_frame(BINARY, b"x" * 20_000))
                assert await peer.close_code() == 1009
        finally:
            await server.stop()

    run(scenario())
