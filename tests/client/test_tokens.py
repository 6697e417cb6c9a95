"""Tokens on real sockets, against a server of the test's own that looks at them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastchat.client import CannotConnect, Chat, Refused, connect
from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from fastchat.protocol.messages import Command, Connect, Ping, Pong, Refresh
from tests.client.conftest import serving

Run = Callable[..., Any]
LIMITS = codec.Limits(32, 4096)


class Gate:
    """Lets in whoever shows a token that counts, for `life` ms, and notes every command."""

    def __init__(self, life: int = 3_600_000) -> None:
        self.life = life
        self.good: set[str] = set()
        self.heard: list[Command] = []
        self.news = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                command = codec.decode_command(await reader.readexactly(size), LIMITS)
                if not isinstance(command, Pong):
                    writer.write(tcp_frame(self.answer(command)))
                self.heard.append(command)
                self.news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, command: Command) -> bytes:
        if isinstance(command, Ping):
            return codec.ping_result(command.id, 1)
        assert isinstance(command, Connect | Refresh)
        if command.token not in self.good:
            return codec.error(command.id, 202, "this token does not count")
        now = int(time.time() * 1000)
        expires = {"expires": now + self.life}
        if isinstance(command, Refresh):
            return codec.result(command.id, expires)
        body = {"user": "u", "session": "s", "node": "n", "ping_ms": 25_000, "time": now}
        return codec.connect_result(command.id, body | {"limits": {"max_frame": 16384}} | expires, {})

    async def until(self, kind: type, token: str) -> None:
        """Wait until a command of that kind has shown that token."""
        while not any(isinstance(one, kind) and getattr(one, "token", None) == token for one in self.heard):
            self.news.clear()
            await self.news.wait()

    def turn_out(self) -> None:
        """Say BYE 201 to whoever came last."""
        self.writers[-1].write(tcp_frame(codec.bye(201, "your token has expired", reconnect=False)))
        self.writers[-1].close()


@asynccontextmanager
async def gate(life: int = 3_600_000, *good: str) -> AsyncIterator[tuple[Gate, str]]:
    one = Gate(life)
    one.good.update(good)
    listener = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    try:
        yield one, f"tcp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for writer in one.writers:
            writer.close()
        await listener.wait_closed()


class Issuer:
    """Gives tokens t1, t2 ..., after a turn of the loop where `later`."""

    def __init__(self, later: bool) -> None:
        self.count = 0
        self.later = later
        self.broken = False

    def __call__(self) -> Any:
        return self.bring() if self.later else self.next()

    async def bring(self) -> str:
        await asyncio.sleep(0)
        return self.next()

    def next(self) -> str:
        if self.broken:
            raise OSError("no issuer")
        self.count += 1
        return f"t{self.count}"


@pytest.mark.parametrize("later", [False, True])
def test_a_function_is_asked_at_the_start_and_before_the_token_ends(run: Run, later: bool) -> None:
    async def check() -> None:
        async with gate(1300, "t1", "t2") as (server, url):
            async with connect(url, token=Issuer(later)):
                await server.until(Connect, "t1")
                await server.until(Refresh, "t2")  # after 80 % of its life

    run(check())


def test_after_the_token_has_ended_one_more_is_tried(run: Run) -> None:
    async def check() -> None:
        async with gate(3_600_000, "t1", "t2") as (server, url):
            issuer = Issuer(True)
            async with connect(url, token=issuer) as chat:
                server.turn_out()
                await server.until(Connect, "t2")
                assert await chat.ping() > 0
                server.turn_out()  # and t3 does not count
                with pytest.raises(Refused) as refused:
                    await ended(chat)
                assert refused.value.code == 202 and issuer.count == 3

    run(check())


def test_a_text_ends_with_its_time(run: Run) -> None:
    async def check() -> None:
        async with gate(3_600_000, "t") as (server, url), connect(url, token="t") as chat:
            server.turn_out()
            with pytest.raises(Refused, match="expired") as refused:
                await ended(chat)
            assert refused.value.code == 201

    run(check())


async def ended(chat: Chat) -> None:
    async for _ in chat.events():
        pass


def test_a_function_that_fails_fails_the_first_connection_with_its_reason(run: Run) -> None:
    async def check() -> None:
        issuer = Issuer(True)
        issuer.broken = True
        async with gate() as (_, url):
            with pytest.raises(CannotConnect, match="no issuer"):
                async with connect(url, token=issuer):
                    pass
            with pytest.raises(CannotConnect, match="gave none"):
                async with connect(url, token=lambda: ""):
                    pass

    run(check())


def test_a_function_that_fails_later_costs_nothing_while_the_token_holds(run: Run) -> None:
    async def check() -> None:
        async with gate(1300, "t1", "t2") as (server, url):
            issuer = Issuer(False)
            async with connect(url, token=issuer) as chat:
                issuer.broken = True
                passport = chat._core.passport
                first = passport.due
                passport.due = chat._driver.now()
                chat._driver._tick()
                while passport.due is None:
                    await asyncio.sleep(0)
                assert passport.due != first and await chat.ping() > 0
                issuer.broken = False
                await server.until(Refresh, "t2")

    run(check())


def test_the_same_token_again_is_not_sent_again(run: Run) -> None:
    async def check() -> None:
        async with gate(3_600_000, "t1", "t2") as (server, url):
            given = ["t1"]
            async with connect(url, token=lambda: given[-1]) as chat:
                passport = chat._core.passport
                for _ in range(3):
                    passport.due = chat._driver.now()
                    chat._driver._tick()
                    while passport.due is None:
                        await asyncio.sleep(0)
                assert await chat.ping() > 0
                assert not any(isinstance(one, Refresh) for one in server.heard)
                given.append("t2")
                passport.due = chat._driver.now()
                chat._driver._tick()
                await server.until(Refresh, "t2")

    run(check())


def test_a_function_under_way_when_the_chat_is_closed_is_let_go(run: Run) -> None:
    async def check() -> None:
        asked = asyncio.Event()

        async def never() -> str:
            if not asked.is_set():
                asked.set()
                return "t1"
            asked.clear()
            await asyncio.Event().wait()
            raise AssertionError

        async with gate(1300, "t1") as (_, url):
            async with connect(url, token=never) as chat:
                chat._core.passport.due = chat._driver.now()
                chat._driver._tick()
                while asked.is_set():
                    await asyncio.sleep(0)

    run(check())


def test_a_server_without_tokens_says_so(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            with pytest.raises(Refused) as refused:
                async with connect(f"tcp://127.0.0.1:{server.port}", token="t"):
                    pass
            assert refused.value.code == 202

    run(check())
