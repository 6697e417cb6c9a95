"""Lines cut under the client, servers that go and come: it comes back by itself, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.client import Disconnected, Lost, Offline, Online, Refused, RequestTimeout, backoff, connect
from fastchat.config import Config
from fastchat.errors import Code
from fastchat.server import Server
from tests.client.conftest import serving
from tests.client.proxy import proxied
from tests.client.test_chat import until

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's own arithmetic is tested in test_backoff.py."""
    monkeypatch.setattr(backoff, "BASE", 0.01)
    monkeypatch.setattr(backoff, "CAP", 0.05)


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_cuts_anywhere_lose_and_double_nothing(run: Run, scheme: str) -> None:
    async def check() -> None:
        rng = random.Random(5)
        async with serving() as server, proxied(server.port) as proxy:
            direct, shaky = f"tcp://127.0.0.1:{server.port}", f"{scheme}://127.0.0.1:{proxy.port}"
            async with connect(shaky, name="ada") as ada, connect(shaky, name="bob") as bob:
                async with connect(direct, name="eve") as eve:
                    rooms = [bob.room("lobby"), eve.room("lobby")]
                    for room in rooms:
                        await room.join()

                    async def cutting() -> None:
                        for _ in range(8):
                            await asyncio.sleep(rng.uniform(0.01, 0.05))
                            proxy.cut()

                    cutter = asyncio.ensure_future(cutting())
                    count = 0
                    while not cutter.done():
                        ack = await ada.publish("lobby", count)
                        count += 1
                        assert ack.offset == count
                    await cutter
                    for room in rooms:
                        assert [(await anext(room)).data for _ in range(count)] == list(range(count))
                    assert count > 20 and proxy.accepted > 10

    run(check())


def test_a_drained_server_is_waited_for_and_the_news_is_told(run: Run) -> None:
    async def check() -> None:
        first = Server(Config(port=0, rate_limits=False))
        await first.start()
        port = first.port
        async with connect(f"tcp://127.0.0.1:{port}", name="ada") as ada:
            events = ada.events()
            await ada.publish("lobby", "before")
            await first.drain()
            offline = await until(events, Offline)
            assert "102" in offline.why and offline.retry_seconds >= 1.0
            second = Server(Config(port=port, rate_limits=False))
            await second.start()
            try:
                assert (await until(events, Online)).again
                lost = await until(events, Lost)
                assert lost.room == "lobby" and lost.missed is None
                assert (await ada.publish("lobby", "after")).offset == 1
            finally:
                await second.drain()

    run(check())


def test_what_is_asked_meanwhile_is_answered_afterwards(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, proxied(server.port) as proxy:
            async with connect(f"tcp://127.0.0.1:{proxy.port}", name="ada") as ada:
                events = ada.events()
                await ada.join("lobby")
                proxy.refusing = True
                proxy.cut()
                await until(events, Offline)
                with pytest.raises(Disconnected):
                    await ada.post("lobby", "not kept")
                with pytest.raises(RequestTimeout):
                    await ada.ping(timeout=0.05)
                waiting = [asyncio.ensure_future(ada.publish("lobby", number)) for number in range(3)]
                await until(events, Offline)
                proxy.refusing = False
                assert [ack.offset for ack in await asyncio.gather(*waiting)] == [1, 2, 3]

    run(check())


def test_a_name_taken_over_ends_the_older_client(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as older, connect(url, name="ada2") as newer:
                mine = newer._core.passport
                mine._name, mine.resume = "ada", older._core.passport.resume
                room = older.room("lobby")
                await room.join()
                newer._driver._link.abort("test")
                with pytest.raises(Refused) as refused:
                    await anext(room)
                assert refused.value.code is Code.REPLACED
                with pytest.raises(Refused):
                    await older.ping()

    run(check())


def test_closing_while_there_is_no_connection(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, proxied(server.port) as proxy:
            async with connect(f"tcp://127.0.0.1:{proxy.port}") as chat:
                events = chat.events()
                proxy.refusing = True
                proxy.cut()
                await until(events, Offline)
                await until(events, Offline)

    run(check())
