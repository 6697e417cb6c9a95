"""fastchat's own client against the baselines: two members see one order, a broken connection comes back."""

from __future__ import annotations

import asyncio

import pytest

from fastchat.client import Chat, Lost, Message, Refused, connect, connect_sync
from fastchat.client.events import Event
from tests.baselines.running import Running, made
from tests.conftest import Runner

MANY = 60  # messages of each publisher
AHEAD = 20  # ... under way at a time


def test_two_members_see_one_order(server: Running, run: Runner) -> None:
    async def listen(chat: Chat, count: int) -> list[tuple[int, str, object]]:
        seen = []
        async for message in chat.room("lobby"):
            seen.append((message.offset, message.user, message.data))
            if len(seen) == count:
                return seen
        raise AssertionError("the room ended")

    async def publish(chat: Chat) -> None:
        for start in range(0, MANY, AHEAD):
            numbers = range(start, start + AHEAD)
            await asyncio.gather(*(chat.publish("lobby", number) for number in numbers))

    async def talk() -> None:
        async with connect(server.url, name="ada") as ada, connect(server.url, name="bob") as bob:
            await ada.join("lobby")
            await bob.join("lobby")
            listeners = asyncio.gather(*(listen(chat, 2 * MANY) for chat in (ada, bob)))
            await asyncio.gather(publish(ada), publish(bob))
            one, other = await listeners
        assert one == other
        assert [offset for offset, _, _ in one] == list(range(1, 2 * MANY + 1))
        assert [data for _, user, data in one if user == "ada"] == list(range(MANY))

    run(talk())


def test_without_echo_nothing_is_missing(server: Running, run: Runner) -> None:
    async def talk() -> None:
        async with connect(server.url, name="ada") as ada, connect(server.url, name="bob") as bob:
            events = ada.events()
            await ada.join("lobby")
            await bob.join("lobby")
            for number in range(MANY):
                await asyncio.gather(ada.publish("lobby", number, echo=False), bob.publish("lobby", number))
            seen: list[Event] = []
            while len([one for one in seen if isinstance(one, Message)]) < MANY:
                seen.append(await anext(events))
            assert {type(one) for one in seen} == {Message}  # no Gap

    run(talk())


def test_what_a_baseline_does_not_do(server: Running) -> None:
    with connect_sync(server.url, name="ada") as ada:
        ada.join("lobby", history=10)
        assert ada.ping() > 0
        for refused in (lambda: ada.history("lobby"), lambda: ada.presence("lobby")):
            with pytest.raises(Refused, match="301"):
                refused()
        ada.leave("lobby")


def test_the_end_and_a_new_beginning(kind: str, run: Runner) -> None:
    """BYE 102 comes; at the next server the room is another one, which the client tells."""

    async def talk() -> None:
        server = Running(kind, made(kind))
        port = server.address[1]
        async with connect(server.url, name="ada") as ada:
            events = ada.events()
            await ada.join("lobby")
            await ada.publish("lobby", "before")
            assert isinstance(await anext(events), Message)
            await asyncio.to_thread(server.stop)
            offline = await anext(events)
            assert "going down" in str(offline)
            server = Running(kind, made(kind, port=port))
            try:
                while not isinstance(event := await anext(events), Lost):
                    continue
                assert event.room == "lobby" and event.now[1] == 0
                await ada.publish("lobby", "after")
            finally:
                await asyncio.to_thread(server.stop)

    run(talk())
