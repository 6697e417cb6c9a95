"""The commands beside a server that runs: it is copied and read, and never filled behind its back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from tests.durability.process import ServerProcess, complaints, storing
from tests.server.wire import CONNECT, PUBLISH, RESULT, Peer

ROOM = "lobby"


async def fastchat(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastchat", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def say(peer: Peer, text: str) -> int:
    peer.send(PUBLISH, 7, ROOM, text, {"echo": False})
    answer = await peer.until(RESULT)
    return int(answer[2]["offset"])


async def come(server: ServerProcess, since: tuple[str, int] | None = None) -> tuple[Peer, dict[str, Any]]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", await server.up()))
    peer.send(CONNECT, 1, 1, {"name": "ada", "rooms": {ROOM: since}})
    return peer, (await peer.until(RESULT))[2]["rooms"][ROOM]


def played(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story)


def test_a_copy_of_a_running_server_goes_on_under_new_epochs(tmp_path: Path) -> None:
    async def story() -> None:
        data, restored = tmp_path / "data", tmp_path / "restored"
        restored.mkdir()
        server = ServerProcess(*storing(data))
        await server.start()
        try:
            peer, joined = await come(server)
            for number in range(20):
                await say(peer, f"before {number}")
            copying = asyncio.create_task(
                fastchat("backup", str(restored / "fastchat.db"), "--data", str(data))
            )
            last = 20
            while not copying.done():  # the server goes on meanwhile
                last = await say(peer, "meanwhile")
            assert (await copying)[0] == 0, await copying
            seen = (joined["epoch"], last)
            code, out, errors = await fastchat("export", ROOM, "--data", str(data))
            assert (code, errors, out.count("\n")) == (0, "", 1 + last)
            code, _, errors = await fastchat("import", "-", "--data", str(data), stdin=out.encode())
            assert code == 2 and f"in use by another fastchat (pid {server.pid})" in errors
            await peer.close()
        finally:
            assert complaints(await server.stop()) == ""

        server = ServerProcess(*storing(restored))
        await server.start()
        try:
            peer, joined = await come(server, seen)
            assert joined["recovered"] is False and joined["epoch"] != seen[0]
            assert 20 <= joined["offset"] <= last
            assert await say(peer, "after") == joined["offset"] + 1
            await peer.close()
        finally:
            assert complaints(await server.stop()) == ""

    played(story())


def test_what_was_imported_is_served(tmp_path: Path) -> None:
    head = {"format": "fastchat-room", "version": 1, "room": ROOM, "epoch": "old", "offset": 4}
    line = {"ts": 1, "user": "ada", "author": "t:ada", "opts": {}, "expires": 0}
    lines = [head, *({"offset": offset, "data": f"said {offset}", **line} for offset in (3, 4))]
    text = "".join(json.dumps(one) + "\n" for one in lines).encode()

    async def story() -> None:
        data = tmp_path / "data"
        code, out, errors = await fastchat("import", "-", "--data", str(data), stdin=text)
        assert (code, out, errors) == (0, "lobby: 2 messages, up to offset 4\n", "")
        server = ServerProcess(*storing(data))
        await server.start()
        try:
            peer, joined = await come(server, ("old", 4))
            assert (joined["recovered"], joined["offset"]) == (False, 4)
            peer.send(6, 3, ROOM, {"after": 0})
            page = (await peer.until(RESULT))[2]["messages"]
            assert [(one[0], one[2], one[3]) for one in page] == [(3, "ada", "said 3"), (4, "ada", "said 4")]
            assert await say(peer, "next") == 5
            await peer.close()
        finally:
            assert complaints(await server.stop()) == ""

    played(story())
