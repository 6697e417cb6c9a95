"""Who is kicked or banned: what they hear, and that they do not come back by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.client import Chat, Left, Notice, Online, Refused
from fastchat.server import Server
from tests.client.conftest import serving
from tests.server.tokens import person, settings

Run = Callable[..., Any]
ROOM = "lobby"


@asynccontextmanager
async def three(folder: Path) -> AsyncIterator[tuple[Server, Chat, Chat, Chat]]:
    """A server, two users and a moderator, all in one room."""
    async with serving(**settings(folder)) as server:
        async with (
            person(server.port, "ada") as ada,
            person(server.port, "bob") as bob,
            person(server.port, "eve", "moderator") as eve,
        ):
            for chat in (ada, bob, eve):
                await chat.join(ROOM)
            yield server, ada, bob, eve


async def until(events: Any, kind: type) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event


def test_who_is_kicked_hears_why_and_may_come_again(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        async with three(tmp_path) as (_, ada, bob, eve):
            room, events, others = bob.room(ROOM), bob.events(), ada.events()
            await room.join()
            await eve.room(ROOM).kick("BOB", "that is enough")
            assert await until(others, Notice) == Notice(ROOM, "kick", "bob", None, "that is enough", "eve")
            with pytest.raises(Refused, match="you were kicked by eve: that is enough") as refused:
                await anext(room)
            assert refused.value.code == 206
            assert await until(events, Left) == Left(ROOM, 206, "you were kicked by eve: that is enough")
            assert bob.position(ROOM) is None
            assert (await eve.presence(ROOM)).count == 2
            # a lost connection does not bring him back, he himself may
            assert bob._driver._link is not None
            bob._driver._link.abort("test")
            await until(events, Online)
            await bob.ping()
            assert (await eve.presence(ROOM)).count == 2
            again = bob.room(ROOM)
            assert again is not room
            await again.join()
            await ada.publish(ROOM, "welcome back")
            assert (await anext(again)).data == "welcome back"

    run(check())


def test_who_is_banned_while_away_finds_out(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        async with three(tmp_path) as (_, ada, bob, eve):
            await bob.join("elsewhere")
            events = bob.events()
            assert bob._driver._link is not None
            bob._driver._link.abort("test")
            await eve.moderate(ROOM, "ban", "bob", seconds=3600, reason="spam")
            left = await until(events, Left)
            assert (left.room, left.code) == (ROOM, 204) and "spam" in left.text
            assert (await bob.publish("elsewhere", "still here")).offset == 1
            assert bob.position(ROOM) is None and bob.position("elsewhere") is not None

    run(check())


def test_being_turned_off_the_server_ends_everything(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        async with three(tmp_path) as (_, ada, bob, eve):
            room, events = bob.room(ROOM), bob.events()
            await room.join()
            await eve.moderate("", "mute", "bob", seconds=60)
            assert await until(events, Notice) == Notice("", "mute", "bob", 60, None, "eve")
            with pytest.raises(Refused) as refused:
                await bob.direct("ada", "psst")
            assert refused.value.code == 205
            await eve.moderate("", "ban", "bob")
            with pytest.raises(Refused) as refused:
                await anext(room)
            assert refused.value.code == 204
            with pytest.raises(Refused):
                await bob.ping()
            assert await ada.ping() > 0

    run(check())


def test_slow_mode_lets_a_patient_client_wait(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        async with three(tmp_path) as (_, ada, bob, eve):
            await eve.moderate(ROOM, "slow", seconds=1)
            assert (await bob.publish(ROOM, 1)).offset == 1
            assert (await bob.publish(ROOM, 2)).offset == 2  # a second later, by itself
            with pytest.raises(Refused) as refused:
                await bob.publish(ROOM, 3, timeout=0.2)
            assert refused.value.code == 401
            await eve.moderate(ROOM, "slow", seconds=0)
            assert [one.data for one in await ada.history(ROOM)] == [1, 2]

    run(check())
