"""Two users and a moderator: an edit, a restart, a ban, a recovery, on one server with its store on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastchat.client import Change, Chat, Lost, Message, Notice, Offline, Online, Refused
from fastchat.config import Config
from fastchat.server import Server
from tests.client.proxy import proxied
from tests.server.tokens import person, settings

Run = Callable[..., Any]
ROOM = "lobby"


class House:
    """A server that can be restarted where it was, with everything on disk."""

    def __init__(self, folder: Path) -> None:
        self._given = settings(folder) | {"engine": "sqlite", "data": str(folder / "data"), "port": 0}

    async def open(self) -> None:
        self.server = Server(Config(**self._given))
        await self.server.start()
        self._given["port"] = self.port = self.server.port

    async def restart(self) -> None:
        await self.server.stop()
        await self.open()


class Person:
    """A chat, and everything it was told."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.told: list[Any] = []
        self._news = asyncio.Event()

    async def come(self, history: int = 0) -> Person:
        self.events = self.chat.events()
        await self.chat.open()
        await self.chat.join(ROOM, history=history)
        self.listening = asyncio.ensure_future(self._listen())
        return self

    async def _listen(self) -> None:
        try:
            async for event in self.events:
                self.told.append(event)
                self._news.set()
        except Refused:
            return

    async def until(self, found: Callable[[Any], bool], count: int = 1) -> Any:
        """Wait until so many events satisfy `found`; gives the last."""
        while True:
            matching = [event for event in self.told if found(event)]
            if len(matching) >= count:
                return matching[-1]
            self._news.clear()
            await self._news.wait()

    async def hears(self, data: Any) -> Message:
        message: Message = await self.until(lambda one: isinstance(one, Message) and one.data == data)
        return message

    async def back(self, times: int) -> None:
        """Wait until it is connected again for that time."""
        await self.until(lambda one: isinstance(one, Online) and one.again, times)

    async def leave(self) -> None:
        await self.chat.close()
        await self.listening

    def whole(self) -> list[int]:
        """The offsets it was told, which must be each once and without a hole."""
        offsets = [one.offset for one in self.told if isinstance(one, Message | Change)]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
        assert not any(isinstance(one, Lost) for one in self.told)
        return offsets


async def refused(doing: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await doing
    return caught.value


def test_the_story(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        house = House(tmp_path)
        await house.open()
        try:
            await tell(house)
        finally:
            await house.server.stop()

    run(check(), timeout=40)


async def tell(house: House) -> None:
    async with proxied(house.port) as line:  # ada's line can be cut
        ada = await Person(person(line.port, "ada")).come()
        bob = await Person(person(house.port, "bob")).come()
        eve = await Person(person(house.port, "eve", "moderator")).come()

        # an edit
        first = (await ada.chat.publish(ROOM, "helo")).offset
        await ada.chat.edit(ROOM, first, "hello")
        edit = await bob.until(lambda one: isinstance(one, Change))
        assert (edit.kind, edit.target, edit.value, edit.user) == ("edit", first, "hello", "ada")
        assert (await refused(bob.chat.edit(ROOM, first, "mine"))).code == 203
        await bob.chat.publish(ROOM, "what?", reply_to=first, mentions=["ada"])
        await bob.chat.react(ROOM, first, "👍")
        await eve.chat.mark(ROOM)

        # a restart: everybody comes back by themselves, to the same room
        await house.restart()
        for one in (ada, bob, eve):
            await one.back(1)
        await ada.chat.publish(ROOM, "are we all here?")
        for one in (ada, bob, eve):
            await one.hears("are we all here?")
            assert one.whole()[-1] == 5

        # a mute, then a ban: bob hears why, and cannot come back, not after a restart either
        await eve.chat.moderate(ROOM, "mute", "bob", seconds=300, reason="spam")
        notice = await ada.until(lambda one: isinstance(one, Notice) and one.action == "mute")
        assert notice == Notice(ROOM, "mute", "bob", 300, "spam", "eve")
        assert "spam" in (await refused(bob.chat.publish(ROOM, "buy"))).text
        room = bob.chat.room(ROOM)
        await room.join()
        await eve.chat.moderate(ROOM, "ban", "bob", seconds=3600, reason="spam")
        turned_out = await refused(anext(room))
        assert turned_out.code == 204 and turned_out.text == "you were banned by eve: spam"
        assert (await refused(bob.chat.publish(ROOM, "let me in"))).code == 204
        await house.restart()
        await eve.back(2)
        assert (await refused(bob.chat.join(ROOM))).code == 204
        assert (await refused(ada.chat.moderate(ROOM, "unban", "bob"))).code == 203

        # a recovery: ada's line is cut while eve talks, and brings her what she missed, in order
        await ada.back(2)
        line.refusing = True
        line.cut()
        await ada.until(lambda one: isinstance(one, Offline), 3)
        for number in range(20):
            await eve.chat.publish(ROOM, f"missed {number}")
        await eve.chat.delete(ROOM, first)  # a moderator may
        line.refusing = False
        await ada.until(lambda one: isinstance(one, Change) and one.kind == "delete")
        assert ada.whole()[-1] == 26

        # and who comes later finds the room as it is now
        await eve.chat.moderate(ROOM, "unban", "bob")
        zoe = await Person(person(house.port, "zoe")).come(history=100)
        await zoe.hears("missed 19")
        begun = zoe.told[[type(one) for one in zoe.told].index(Message)]
        assert begun.offset == first and begun.data is None and "deleted" in begun.opts
        reply = await zoe.hears("what?")
        assert reply.opts["reply_to"] == first and list(reply.opts["mentions"]) == ["ada"]
        assert (await bob.chat.join(ROOM)).recovered is None
        for one in (ada, bob, eve, zoe):
            await one.leave()
