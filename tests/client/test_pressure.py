"""What nobody takes: reading stops, memory stays bounded, and answers still get through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.client import RequestTimeout, connect, driver
from fastchat.config import Config, Policy, RoomOptions
from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from tests.client.conftest import serving
from tests.client.test_chat import greet

Run = Callable[..., Any]
TEXT = "x" * 10_000  # bytes of one message
QUEUE = 100_000  # bytes that may wait
CHUNK = 512 * 1024  # bytes that one read of a transport may bring on top


def patient(**given: Any) -> dict[str, Any]:
    """A server that drops for the slow, with little in its kernel's buffers."""
    rooms = {"default": RoomOptions(policy=Policy.DROP, history=20_000, history_bytes=256 << 20)}
    return {"rooms": rooms, "sndbuf": 16_384, "outbox_bytes": 300_000} | given


async def flood(url: str, messages: int) -> None:
    async with connect(url) as ada:
        for _ in range(messages):
            await ada.publish("lobby", TEXT, echo=False)


def test_reading_stops_when_nobody_takes_and_goes_on_when_somebody_does(run: Run) -> None:
    async def check() -> None:
        async with serving(**patient()) as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, queue_bytes=QUEUE) as bob:
                room = bob.room("lobby")
                await room.join()
                await flood(url, 2000)  # 20 MB
                assert not bob._driver._reading, "the socket is still read"
                assert QUEUE < bob._queued() < QUEUE + CHUNK, bob._queued()
                held = bob._queued()
                await flood(url, 200)
                assert bob._queued() == held
                offsets = []
                async for event in room.everything():
                    assert bob._queued() < QUEUE + CHUNK
                    offsets += (
                        range(event.start, event.end + 1) if hasattr(event, "start") else [event.offset]
                    )
                    if offsets[-1] == 2200:
                        break
                assert offsets == list(range(1, 2201))
                assert bob._driver._reading

    run(check(), timeout=60.0)


def test_an_answer_behind_what_nobody_takes_still_comes(run: Run) -> None:
    """The usual bot: it answers from within the loop that reads."""

    async def check() -> None:
        async with serving(**patient()) as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, queue_bytes=QUEUE) as bob:
                room = bob.room("lobby")
                await room.join()
                await bob.join("other")
                await flood(url, 500)
                assert not bob._driver._reading
                assert (await bob.publish("other", "still here")).offset == 1
                assert 0 < await bob.ping() < 5
                assert bob._queued() < driver.READ_AHEAD

    run(check())


def test_reading_ahead_has_its_limit_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "READ_AHEAD", 3 * QUEUE)

    async def check() -> None:
        async with serving(**patient(outbox_bytes=8 << 20)) as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, queue_bytes=QUEUE) as bob:
                room = bob.room("lobby")
                await room.join()
                await flood(url, 600)
                with pytest.raises(RequestTimeout):
                    await bob.ping(timeout=0.3)
                assert bob._queued() < 3 * QUEUE + CHUNK

    run(check())


def test_requests_without_an_answer_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PENDING_BYTES", 50_000)

    async def check() -> None:
        async with serving() as server:
            async with connect(f"tcp://127.0.0.1:{server.port}") as ada:
                await ada.join("lobby")
                most = 0

                async def publish(number: int) -> None:
                    nonlocal most
                    await ada.publish("lobby", TEXT)
                    most = max(most, ada._core.requests.bytes)

                await asyncio.gather(*(publish(number) for number in range(100)))
                assert 10_000 < most < 70_000

    run(check())


def test_a_server_that_does_not_read_holds_the_poster_back(run: Run) -> None:
    async def check() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer)
            await reader.readexactly(4)
            body = codec.join_body(epoch="e", offset=0, recovered=None, messages=(), members=1)
            writer.write(tcp_frame(codec.result_raw(2, body)))
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await gone.wait()
            writer.transport.abort()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        chat = connect(f"tcp://127.0.0.1:{port}")
        await chat.open()
        posted = 0

        async def post() -> None:
            nonlocal posted
            while True:
                await chat.post("lobby", TEXT)
                posted += 1

        poster = asyncio.ensure_future(post())
        before = -1
        while before != posted or posted == 0:
            before = posted
            await asyncio.sleep(0.1)
        assert posted * len(TEXT) < 16 << 20  # what two kernels and one transport hold
        poster.cancel()
        await asyncio.gather(poster, return_exceptions=True)
        gone.set()
        listener.close()
        await chat.close()

    run(check())


def test_the_limit_is_of_the_configuration() -> None:
    assert Config().outbox_bytes < driver.READ_AHEAD  # an answer may stand behind all that waits for us
