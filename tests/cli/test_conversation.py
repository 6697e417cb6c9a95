"""What `fastchat chat` makes of what is typed and what arrives, on a screen that is a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fastchat.cli.conversation import Conversation
from fastchat.cli.palette import Palette
from fastchat.cli.slash import manual
from fastchat.cli.speech import remark
from fastchat.client import (
    Change,
    Chat,
    Complaint,
    Gap,
    Joined,
    Left,
    Lost,
    Notice,
    Offline,
    Online,
    Presence,
    Refused,
    connect,
)
from fastchat.client.events import Member
from tests.client.conftest import serving

Run = Callable[..., Any]


class Screen:
    """Lines typed by the test, lines shown."""

    def __init__(self, interactive: bool = True) -> None:
        self.interactive = interactive
        self.shown: list[str] = []
        self.typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def show(self, line: str) -> None:
        self.shown.append(line)
        self._changed.set()

    async def lines(self) -> AsyncIterator[str]:
        while (line := await self.typed.get()) is not None:
            yield line

    async def until(self, text: str) -> str:
        """Wait until a line with `text` is shown."""
        while True:
            for line in self.shown:
                if text in line:
                    return line
            self._changed.clear()
            await self._changed.wait()


class Talk:
    """A conversation that runs, and its screen."""

    def __init__(self, chat: Chat, interactive: bool = True) -> None:
        self.screen = Screen(interactive)
        self.conversation = Conversation(chat, "lobby", self.screen, Palette(False))

    async def start(self, history: int = 0) -> Talk:
        await self.conversation.begin(history)
        self.task = asyncio.ensure_future(self.conversation.run())
        return self

    async def type(self, line: str, answer: str) -> str:
        self.screen.typed.put_nowait(line)
        return await self.screen.until(answer)

    async def quit(self) -> None:
        self.screen.typed.put_nowait("/quit")
        await self.task


def test_two_talk(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as a, connect(url, name="bob") as b:
                await a.publish("lobby", "earlier")
                await a.leave("lobby")
                ada = await Talk(a).start(history=5)
                await ada.screen.until("ada: earlier")
                await ada.screen.until("-- 1 here: ada")
                bob = await Talk(b).start()
                await bob.screen.until("-- 2 here: ada, bob")
                await ada.screen.until("-- came: bob")
                await ada.type("hello", "ada: hello")
                await bob.screen.until("ada: hello")
                await bob.type("//slash", "bob: /slash")
                await bob.type("/me waves", "bob: * bob waves")
                await ada.type("/msg bob psst \x1b[31m", "to bob: psst ␛[31m")
                await bob.screen.until("from ada: psst ␛[31m")
                await ada.type("/who", "-- 2 here: ada, bob")
                await ada.type("/ping", " ms")
                await ada.type("/history 1", "bob: * bob waves")
                await ada.type("/block bob", "no more of bob")
                await bob.type("unheard", "bob: unheard")
                await ada.type("/unblock bob", "hear bob again")
                await bob.type("heard", "bob: heard")
                await ada.screen.until("bob: heard")
                assert not any("unheard" in line for line in ada.screen.shown)
                await bob.quit()
                await b.close()
                await ada.screen.until("-- left: bob")
                await ada.quit()

    run(check())


def test_mistakes_are_explained_and_change_nothing(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}", name="ada") as chat:
            ada = await Talk(chat).start()
            await ada.type("/dance \x1b[2J", "there is no /dance")
            await ada.type("/msg nobody", "write /msg NAME TEXT")
            await ada.type("/msg nobody hi", "not done: the server refused: this user is not online (407)")
            await ada.type("x" * 20_000, "too long")
            await ada.type("/help", manual()[-1])
            await ada.type("/help mute", "for example: /mute bob 5m cool down")
            await ada.type("/help dance", "there is no /dance")
            await ada.type("/block ", "write /block NAME")
            await ada.type("/hsitory", "there is no /hsitory; /history?")
            await ada.type("/edit never said", "no such message of yours here")
            await ada.type("   ", "not done")
            await ada.type("still here", "ada: still here")
            assert not any("\x1b" in line for line in ada.screen.shown)
            await ada.quit()

    run(check())


def test_a_pipe_ends_with_its_input_and_fails_with_it(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            piped = await Talk(chat, interactive=False).start()
            piped.screen.typed.put_nowait("one")
            piped.screen.typed.put_nowait(None)
            await piped.task
            failing = await Talk(chat, interactive=False).start()
            failing.screen.typed.put_nowait("x" * 20_000)
            with pytest.raises(Refused):
                await failing.task
            assert [one.data for one in await chat.history("lobby")] == ["one"]

    run(check())


def test_being_turned_out_ends_it(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}", name="ada") as chat:
            ada = await Talk(chat).start()
            await ada.screen.until("1 here")
            with pytest.raises(Refused, match="spam"):
                await ada.conversation._arrived(Left("lobby", 206, "spam"))
            await ada.quit()

    run(check())


def test_a_moderator_is_refused_or_everybody_is_told(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}", name="ada") as chat:
            asked: list[Any] = []

            async def moderate(*given: Any, **options: Any) -> None:
                asked.append((given, options))

            chat.moderate = moderate  # type: ignore[method-assign]
            ada = await Talk(chat).start()
            for line in ('/ban "bob the builder" 2h spam', "/mute bob", "/slow 10s", "/cap 5", "/op bob"):
                ada.screen.typed.put_nowait(line)
            await ada.type("/mute bob 60", "write a time with its unit: 60s")
            assert asked == [
                (("lobby", "ban", "bob the builder"), {"seconds": 7200, "reason": "spam", "members": 0}),
                (("lobby", "mute", "bob"), {"seconds": 0, "reason": None, "members": 0}),
                (("lobby", "slow", ""), {"seconds": 10, "reason": None, "members": 0}),
                (("lobby", "cap", ""), {"seconds": 0, "reason": None, "members": 5}),
                (("lobby", "op", "bob"), {"seconds": 0, "reason": None, "members": 0}),
            ]
            await ada.quit()

    run(check())


def test_what_was_read_is_remembered(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}", name="ada") as chat:

            async def join(*_: Any, **__: Any) -> Joined:
                return Joined("e", 9, None, 1, read=4)

            chat.join = join  # type: ignore[method-assign]
            talk = Talk(chat)
            await talk.conversation.begin(0)
            assert talk.screen.shown == ["-- new since you were here: #5 to #9"]

    run(check())


def test_who_came_and_went(run: Run) -> None:
    def presence(joined: str = "", left: str = "", snapshot: bool = False) -> Presence:
        members = tuple(Member(name, None, 1) for name in joined.split())
        return Presence("lobby", members, tuple(left.split()), 9, snapshot)

    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}", name="ada") as chat:
            talk = Talk(chat)
            for event in (
                presence("ada bob", snapshot=True),
                presence("eve"),
                presence("eve bob"),  # their state changed
                presence("", "bob nobody"),
                presence("ada eve zoe", snapshot=True),  # after a reconnection
                presence("ada eve", snapshot=True),
                presence(" ".join(f"u{n:02}" for n in range(20))),
                presence("x\x1by"),
            ):
                await talk.conversation._arrived(event)
            named = ", ".join(f"u{n:02}" for n in range(12))
            assert talk.screen.shown == [
                "-- 9 here: ada, bob",
                "-- came: eve",
                "-- left: bob",
                "-- came: zoe",
                "-- left: zoe",
                f"-- came: {named} and 8 more",
                "-- came: x␛y",
            ]

    run(check())


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Offline("refused", 1.25), "connection lost: refused; trying again in 1.2 s"),
        (Online("ada", "n", False), ""),
        (Online("ada", "n", True), "connected again"),
        (Lost("lobby", ("a", 1), ("a", 9), 4), "4 messages of lobby are lost: the server no longer has them"),
        (Lost("lobby", ("a", 1), ("a", 9), 1), "1 message of lobby is lost: the server no longer has it"),
        (
            Lost("lobby", ("a", 1), ("b", 9), None),
            "lobby has begun anew: what was said meanwhile may be lost",
        ),
        (Gap("lobby", 2, 3, "slow"), "messages 2 to 3 of lobby will not come: slow"),
        (Gap("lobby", 2, 3, "hidden"), ""),
        (Complaint(304, "no"), "the server refused: no (304)"),
        (Notice("lobby", "mute", "bob", 300, "spam", "eve"), "bob was muted for 5 minutes by eve: spam"),
        (Notice("lobby", "mute", "bob"), "bob was muted"),
        (Notice("lobby", "kick", "bob", by="eve"), "bob was kicked by eve"),
        (Notice("lobby", "ban", "bob", 86_400, "x"), "bob was banned for 1 day: x"),
        (Notice("lobby", "unban", "bob", by="eve"), "bob was unbanned by eve"),
        (
            Notice("lobby", "slow", "", 90, None, "eve"),
            "slow mode was set by eve: one message in 90 seconds from each",
        ),
        (Notice("lobby", "slow", "", 0, None, "eve"), "slow mode was ended by eve"),
        (Notice("lobby", "lock", "", by="eve"), "the room was locked by eve: only moderators may speak"),
        (Notice("lobby", "op", "bob", by="eve"), "bob was made a moderator by eve"),
        (Notice("lobby", "cap", "", members=5, by="eve"), "the room was limited to 5 by eve"),
        (Notice("lobby", "cap", "", members=0, by="eve"), "the room was opened to all by eve"),
        (Notice("", "mute", "bob", 60, None, "eve"), "bob was muted for 1 minute on the whole server by eve"),
        (
            Notice("lobby", "flag", "bob", None, "a word", offset=7),
            "to moderators: #7 of bob was flagged: a word",
        ),
        (Notice("lobby", "dance", "bob", 60, "{x}", "eve"), "bob: dance for 1 minute by eve: {x}"),
        (Notice("lobby", "read", "ada"), ""),
        (Change("lobby", 9, 1, "bob", "edit", 3, "x"), "bob edited #3"),
        (Change("lobby", 9, 1, "bob", "delete", 3, None), "bob deleted #3"),
        (Change("lobby", 9, 1, "bob", "react", 3, ["👍", True]), "bob reacted 👍 to #3"),
        (Change("lobby", 9, 1, "bob", "react", 3, ["👍", False]), "bob took back 👍 from #3"),
        (Change("lobby", 9, 1, "bob", "react", 3, 7), "bob reacted ? to #3"),
        (Change("lobby", 9, 1, "bob", "later", 3, 7), "bob: later #3"),
    ],
)
def test_what_happens_is_put_into_words(event: Any, words: str) -> None:
    assert remark(event) == words
