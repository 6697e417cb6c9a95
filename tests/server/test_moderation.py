"""Moderation over real sockets: a room with a troublemaker, and a server that starts again in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import RoomOptions
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.tokens import settings, token
from tests.server.wire import BYE, ERROR, JOIN, PUBLISH, RESULT, WIRES, Peer, WsPeer, dial, serving

MODERATE, NOTICE = 12, 70


@asynccontextmanager
async def keeping(folder: Path, **given: Any) -> AsyncIterator[Server]:
    """A server with tokens that keeps what it knows in a folder."""
    chosen = {"engine": "sqlite", "data": str(folder / "data"), "rooms": {"default": RoomOptions()}}
    async with serving(**settings(folder, **chosen | given)) as server:
        yield server


@asynccontextmanager
async def person(server: Server, name: str, role: str = "", wire: str = "tcp") -> AsyncIterator[Any]:
    """Somebody in the lobby: with a token of that role, or a guest."""
    async with dial(server, wire) as peer:
        await peer.connect(name, **({"token": token(name, role=role)} if role else {}))
        await peer.join("lobby")
        yield peer


async def ask(peer: Any, *message: Any) -> Any:
    """Send a command with id 9; returns the body of the RESULT, or the code of the ERROR."""
    peer.send(message[0], 9, *message[1:])
    while True:
        answer = await peer.receive()
        if answer[0] in (RESULT, ERROR) and answer[1] == 9:
            return answer[2]


async def from_address(server: Server, address: str, name: str) -> tuple[Peer, Any]:
    """Connect from another loopback address; returns the peer and what CONNECT got."""
    local = (address, 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=local)
    peer = Peer(reader, writer)
    peer.send(1, 9, 1, {"name": name})
    return peer, await peer.receive()


def test_a_troublemaker_a_moderator_and_a_restart(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as server:
            async with (
                person(server, "ada", wire="ws") as ada,
                person(server, "eve") as eve,
                person(server, "mo", "moderator", "json") as mo,
            ):
                assert await ask(eve, MODERATE, "lobby", "kick", "ada") == 203
                assert await ask(mo, MODERATE, "lobby", "slow", "", {"seconds": 600}) == {}
                assert (await ask(eve, PUBLISH, "lobby", "one"))["offset"] == 1
                assert await ask(eve, PUBLISH, "lobby", "two") == 401
                muting = {"seconds": 600, "reason": "noise"}
                assert await ask(mo, MODERATE, "lobby", "mute", "eve", muting) == {}
                assert await ask(eve, PUBLISH, "lobby", "three") == 205
                assert await ask(mo, MODERATE, "lobby", "ban", "eve", {"reason": "spam"}) == {}
                told = [await peer.until(NOTICE) for peer in (ada, ada, ada)]
                assert told[2] == [NOTICE, "lobby", "ban", "eve", {"reason": "spam", "by": "mo"}]
                assert await ask(eve, PUBLISH, "lobby", "four") == 304
                assert await ask(eve, JOIN, "lobby") == 204
        async with keeping(tmp_path) as server:
            async with dial(server, name="eve") as eve:
                assert await ask(eve, JOIN, "lobby") == 204
                assert (await ask(eve, JOIN, "hall"))["members"] == 1
                async with person(server, "mo", "moderator") as mo, person(server, "ada") as ada:
                    assert await ask(mo, MODERATE, "lobby", "unban", "eve") == {}
                    joined = await ask(eve, JOIN, "lobby", {"history": 10})
                    assert [one[3] for one in joined["messages"]] == ["one"]
                    assert await ask(eve, PUBLISH, "lobby", "five") == 205, "still muted"
                    assert (await ask(ada, PUBLISH, "lobby", "five"))["offset"] == 2
                    assert await ask(ada, PUBLISH, "lobby", "six") == 401, "still slow"

    run(scenario())


@pytest.mark.parametrize("wire", WIRES)
def test_a_ban_from_the_server_with_its_address(run: Runner, tmp_path: Path, wire: str) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, person(server, "mo", "moderator", wire) as mo:
            eve, answer = await from_address(server, "127.0.0.7", "eve")
            assert answer[0] == RESULT
            mate, _ = await from_address(server, "127.0.0.7", "mate")
            assert await ask(mo, MODERATE, "", "ban", "eve", {"address": True, "reason": "spam"}) == {}
            assert await eve.until(NOTICE) == [NOTICE, "", "ban", "eve", {"reason": "spam", "by": "mo"}]
            for peer in (eve, mate):
                assert (await peer.until(BYE))[1] == 204 and await peer.rest() == b""
                await peer.close()
            again, answer = await from_address(server, "127.0.0.7", "other")
            assert answer[:3] == [ERROR, 9, 204] and (await again.until(BYE))[1] == 204
            await again.close()
            async with dial(server) as same:
                same.send(1, 9, 1, {"name": "eve"})
                assert (await same.receive())[2] == 204
            assert await ask(mo, MODERATE, "", "unban", "eve") == {}
            back, answer = await from_address(server, "127.0.0.7", "eve")
            assert answer[0] == RESULT
            await back.close()

    run(scenario())


def test_a_kick_from_the_server_closes_a_websocket_with_its_code(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, person(server, "mo", "moderator") as mo:
            async with person(server, "eve", wire="ws") as eve:
                assert isinstance(eve, WsPeer)
                assert await ask(mo, MODERATE, "", "kick", "eve") == {}
                assert (await eve.until(BYE))[1] == 206
                assert await eve.close_code() == 4206

    run(scenario())


def test_nonsense_does_no_harm(run: Runner, tmp_path: Path) -> None:
    wrong: list[tuple[Any, ...]] = [
        (), ("lobby",), ("lobby", "kick"), ("lobby", 7, "eve"), ("lobby", "kick", 7), ("no room", "kick", ""),
        ("lobby", "kick", "eve", 7), ("lobby", "ban", "eve", {"seconds": -1}),
        ("lobby", "ban", "eve", {"reason": 7}), ("lobby", "ban", "eve", {"address": "yes"}),
        ("lobby", "cap", "", {"members": 1.5}), ("lobby", "x" * 8000, "eve"),
        ("lobby", "ban", "e" * 8000), ("lobby", "ban", "\u202eeve"),
    ]  # fmt: skip

    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, person(server, "mo", "owner") as mo:
            for arguments in wrong:
                assert await ask(mo, MODERATE, *arguments) == 302, arguments
            assert not server.hub.moderation.rules and not server.hub.facts.of("ban")

    run(scenario())
