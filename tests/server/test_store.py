"""Servers that keep what was said: over real sockets, through restarts and failures of the store."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config, Durability, RoomOptions
from fastchat.engine.schema import FILE
from fastchat.engine.sqlite import SqliteEngine
from fastchat.errors import ConfigError
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.wire import (
    BYE,
    ERROR,
    HISTORY,
    JOIN,
    MESSAGE,
    PUBLISH,
    RESULT,
    dial,
    get,
    http,
    serving,
    tcp,
)

ROOMS = {"default": RoomOptions(), "memory": RoomOptions(durability=Durability.MEMORY)}


@asynccontextmanager
async def keeping(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    given = {"engine": "sqlite", "data": str(folder / "data"), "rooms": ROOMS}
    async with serving(**given | settings) as server:
        yield server


async def publish(peer: Any, room: str, data: Any, **opts: Any) -> Any:
    """Publish and wait; returns the body of the RESULT, or the ERROR."""
    peer.send(PUBLISH, 7, room, data, opts)
    while True:
        message = await peer.receive()
        if message[0] in (RESULT, ERROR) and message[1] == 7:
            return message[2] if message[0] == RESULT else message


def test_a_member_goes_on_where_it_was_after_a_restart(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            joined = (await ada.join("lobby"))[2]
            for number in range(5):
                assert (await publish(ada, "lobby", number, key=str(number)))["offset"] == number + 1
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert [path.name for path in (tmp_path / "data").iterdir() if "-" in path.name] == [], (
            "all is in one file"
        )
        async with keeping(tmp_path) as server, dial(server, "ws", "ada") as ada:
            ada.send(JOIN, 2, "lobby", {"since": [joined["epoch"], 2]})
            body = (await ada.until(RESULT))[2]
            assert (body["recovered"], body["epoch"]) == (True, joined["epoch"])
            assert [(one[0], one[3]) for one in body["messages"]] == [(3, 2), (4, 3), (5, 4)]
            again = await publish(ada, "lobby", 4, key="4")
            assert (again["offset"], again["duplicate"]) == (5, True)
            assert (await publish(ada, "lobby", 5))["offset"] == 6

    run(scenario())


def test_everybody_hears_one_order_and_nobody_before_it_is_stored(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            keeping(tmp_path) as server,
            dial(server, "tcp", "ada") as ada,
            dial(server, "json", "bob") as bob,
        ):
            await ada.join("lobby")
            await bob.join("lobby")
            other = sqlite3.connect(tmp_path / "data" / FILE, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            ada.write(b"".join(tcp(PUBLISH, 0, "lobby", number) for number in range(100)))
            ada.send(JOIN, 5, "memory:x", {})
            assert (await ada.receive())[:2] == [RESULT, 5], "nothing else may come before it is stored"
            assert (await publish(ada, "memory:x", "at once"))["offset"] == 1
            other.execute("ROLLBACK")
            other.close()
            heard = [await bob.until(MESSAGE) for _ in range(100)]
            assert [(one[2], one[5]) for one in heard] == [(n + 1, n) for n in range(100)]

    run(scenario())


def test_a_full_disk_is_103_for_rooms_that_are_kept_until_there_is_room(
    run: Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            for room in ("lobby", "memory:x"):
                await ada.join(room)
            assert (await publish(ada, "lobby", "one"))["offset"] == 1
            engine = server.hub.engine
            assert isinstance(engine, SqliteEngine)
            database = engine._store.database
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}")
            error = await publish(ada, "lobby", "x" * 10_000)
            assert error[0] == ERROR and error[2] == 103 and error[4]["retry_ms"] > 0
            assert (await publish(ada, "memory:x", "two"))["offset"] == 1
            ada.send(HISTORY, 9, "lobby", {"limit": 10})
            assert [one[0] for one in (await ada.until(RESULT))[2]["messages"]] == [1]
            status, _, _ = await http(server, get("/readyz"))
            assert status == 200
            database.execute(f"PRAGMA max_page_count = {pages + 100}")
            assert (await publish(ada, "lobby", "x" * 10_000))["offset"] == 2
        caplog.clear()  # the store said that it failed

    run(scenario())


def test_a_damaged_file_is_103_and_memory_rooms_go_on(
    run: Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_bytes(b"garbage" * 1000)

    async def scenario() -> None:
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            ada.send(JOIN, 2, "lobby", {})
            assert (await ada.until(ERROR))[2] == 103
            await ada.join("memory:x")
            assert (await publish(ada, "memory:x", "two"))["offset"] == 1
        caplog.clear()  # the store said that it is damaged

    run(scenario())


def test_what_is_under_way_when_the_server_drains_is_heard_before_the_bye(
    run: Runner, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            ada.write(b"".join(tcp(PUBLISH, 0, "lobby", number) for number in range(50)))
            heard = [(await ada.until(MESSAGE))[5]]
            draining = asyncio.create_task(server.drain())
            while (message := await ada.receive())[0] == MESSAGE:
                heard.append(message[5])
            assert message[:2] == [BYE, 102]
            await ada.close()
            await draining
            assert heard == list(range(len(heard)))
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            assert (await ada.join("lobby"))[2]["offset"] == len(heard), "stored is what was heard"

    run(scenario())


def test_two_servers_cannot_have_one_folder(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path):
            with pytest.raises(ConfigError, match="in use by another fastchat"):
                async with keeping(tmp_path):
                    pass
        async with keeping(tmp_path):
            pass

    run(scenario())


def test_a_server_that_cannot_start_lets_go_of_the_folder(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        given = {"port": 0, "engine": "sqlite", "data": str(tmp_path / "data")}
        server = Server(Config(**given, host="0.0.0.0"))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="allow-insecure-bind"):
            await server.start()
        async with keeping(tmp_path):
            pass

    run(scenario())


def test_a_server_inside_a_program_keeps_nothing_unless_it_is_told_to(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        async with serving() as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            assert (await publish(ada, "lobby", "one"))["offset"] == 1
        assert list(tmp_path.iterdir()) == []

    run(scenario())


def test_who_comes_and_goes_misses_nothing_and_sees_nothing_twice(run: Runner, tmp_path: Path) -> None:
    """The page of a JOIN stands in the order of the room, whatever is being stored at that moment."""

    async def scenario() -> None:
        async with keeping(tmp_path) as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")

            async def talk() -> None:
                for number in range(600):
                    ada.send(PUBLISH, 0, "lobby", number)
                    if number % 3 == 0:
                        await ada.until(MESSAGE)  # no faster than it is heard

            talking = asyncio.create_task(talk())
            heard: list[int] = []
            epoch, offset = "", 0
            while offset < 600:
                async with dial(server, "tcp", "bob") as bob:
                    bob.send(JOIN, 2, "lobby", {"since": [epoch, offset]} if epoch else {"history": 1000})
                    body = (await bob.until(RESULT))[2]
                    assert body["recovered"] is (True if epoch else None)
                    epoch = body["epoch"]
                    heard += [one[0] for one in body["messages"]]
                    for _ in range(20):
                        if not heard or heard[-1] < 600:
                            heard.append((await bob.until(MESSAGE))[2])
                    offset = heard[-1]
            assert heard == list(range(1, 601))
            await talking

    run(scenario())
