"""Messages are edited, deleted and reacted to through real sockets, on every wire, with every engine."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import ERROR, HISTORY, MESSAGE, PUBLISH, RESULT, dial, serving

EDIT, DELETE, REACT, MARK, CHANGE = 9, 10, 11, 18, 69
THUMB = "\N{THUMBS UP SIGN}"


async def answered(peer: Any, op: int, *message: Any) -> Any:
    """Send a command and return the body of its result."""
    peer.send(op, 7, *message)
    while True:
        got = await peer.receive()
        assert got[0] != ERROR, got
        if got[0] == RESULT and got[1] == 7:
            return got[2]


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_changes_on_every_wire(run: Runner, parts: Parts, engine: str, tmp_path: Path) -> None:
    config = {"engine": engine, "data": str(tmp_path / "data")}

    async def scenario() -> None:
        async with serving(**config) as server, AsyncExitStack() as stack:
            ada, bob, cy = [
                await stack.enter_async_context(dial(server, wire, name))
                for wire, name in (("tcp", "ada"), ("ws", "bob"), ("json", "cy"))
            ]
            for peer in (ada, bob, cy):
                await peer.join("lobby")
            await answered(ada, PUBLISH, "lobby", "helo", {"mentions": ["BOB"]})
            await answered(bob, PUBLISH, "lobby", "what?", {"reply_to": 1})
            bob.send(EDIT, 8, "lobby", 1, "not yours")
            assert (await bob.until(ERROR))[1:3] == [8, 203]
            edited = await answered(ada, EDIT, "lobby", 1, "hello")
            reacted = await answered(cy, REACT, "lobby", 1, THUMB, True)
            deleted = await answered(bob, DELETE, "lobby", 2)
            assert [one["offset"] for one in (edited, reacted, deleted)] == [3, 4, 5]
            assert (await answered(cy, REACT, "lobby", 1, THUMB, True))["duplicate"] is True
            bob.send(EDIT, 9, "lobby", 2, "gone")
            assert (await bob.until(ERROR))[1:3] == [9, 308]
            watcher = await stack.enter_async_context(dial(server, "tcp", "dan"))
            await watcher.join("lobby")
            await answered(ada, EDIT, "lobby", 1, "hello!")
            change = await watcher.until(CHANGE)
            assert change[1:3] + change[4:] == ["lobby", 6, "ada", "edit", 1, "hello!"]
            assert await answered(ada, MARK, "lobby", 99) == {"offset": 6}
            await check_history(watcher)
        if engine == "sqlite":
            async with serving(**config) as server, dial(server, "tcp", "eve") as again:
                await again.join("lobby")
                await check_history(again)

    run(scenario())


async def check_history(peer: Any) -> None:
    body = await answered(peer, HISTORY, "lobby", {})
    ts = [one[1] for one in body["messages"]]
    assert [[one[0], *one[2:]] for one in body["messages"]] == [
        [1, "ada", "hello!", {"mentions": ["BOB"], "edited": ts[5], "reactions": {THUMB: ["cy"]}}],
        [2, "bob", None, {"reply_to": 1, "deleted": ts[4]}],
        [3, "ada", None, {"change": "edit", "target": 1, "value": "hello"}],
        [4, "cy", None, {"change": "react", "target": 1, "value": [THUMB, True]}],
        [5, "bob", None, {"change": "delete", "target": 2, "value": None}],
        [6, "ada", None, {"change": "edit", "target": 1, "value": "hello!"}],
    ]


def test_messages_and_changes_come_in_one_order(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, "tcp", "ada") as ada, dial(server, "ws", "bob") as bob:
            for peer in (ada, bob):
                await peer.join("lobby")
            for number in range(1, 200, 2):
                ada.send(PUBLISH, 0, "lobby", number)
                ada.send(EDIT, 0, "lobby", number, -number)
            for offset in range(1, 201):
                got = await bob.receive()
                assert got[0] == (MESSAGE if offset % 2 else CHANGE) and got[2] == offset

    run(scenario())
