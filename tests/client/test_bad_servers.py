"""Servers that speak garbage, hang, break off or refuse: a clear error, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastchat.client import CannotConnect, Offline, Online, Refused, backoff
from fastchat.client.chat import Chat
from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from tests.client.conftest import serving
from tests.client.test_chat import greet, until

Run = Callable[..., Any]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server made of one function a connection; gives its port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.CancelledError, OSError, EOFError):
            return
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(answer: bytes, then_hang: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        if then_hang:
            await asyncio.sleep(60)

    return serve


GARBAGE = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "huge": b"\x7f\xff\xff\xff" + b"x" * 100,
    "not msgpack": tcp_frame(b"\xc1"),
    "not an array": tcp_frame(codec.pack({"a": 1})),
    "wrong shape": tcp_frame(codec.pack([64, 1, "body"])),
    "empty frame": tcp_frame(b""),
    "connect without limits": tcp_frame(codec.pack([64, 1, {"user": "a", "session": "s"}])),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_garbage_is_told_apart_from_a_server(run: Run, scheme: str, garbage: bytes) -> None:
    async def check() -> None:
        async with listening(saying(garbage, then_hang=True)) as port:
            with pytest.raises(CannotConnect, match=f"{scheme}://127.0.0.1:{port}"):
                await Chat(f"{scheme}://127.0.0.1:{port}", connect_seconds=2.0).open()

    run(check())


@pytest.mark.parametrize("answer", [b"", b"\x00", b"\x00\x00\x00\x09half"])
def test_a_connection_that_breaks_off_in_the_middle(run: Run, answer: bytes) -> None:
    async def check() -> None:
        async with listening(saying(answer)) as port:
            with pytest.raises(CannotConnect):
                await Chat(f"tcp://127.0.0.1:{port}").open()

    run(check())


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_a_server_that_says_nothing_is_given_up_in_time(run: Run, scheme: str) -> None:
    async def check() -> None:
        async with listening(saying(b"", then_hang=True)) as port:
            with pytest.raises(CannotConnect, match="no answer within 0.1 s"):
                await Chat(f"{scheme}://127.0.0.1:{port}", connect_seconds=0.1).open()

    run(check())


def test_a_bye_instead_of_a_greeting(run: Run) -> None:
    async def check() -> None:
        bye = tcp_frame(codec.bye(404, "too many connections", reconnect=True, after_ms=1000))
        async with listening(saying(bye, then_hang=True)) as port:
            with pytest.raises(Refused) as refused:
                await Chat(f"tcp://127.0.0.1:{port}").open()
            assert refused.value.code == 404 and refused.value.retry_ms == 1000

    run(check())


def test_giving_up_while_connecting_leaves_nothing_behind(run: Run) -> None:
    async def check() -> None:
        async with listening(saying(b"", then_hang=True)) as port:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await Chat(f"tcp://127.0.0.1:{port}").open()

    run(check())


def test_garbage_later_costs_the_connection_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "BASE", 0.01)

    async def check() -> None:
        count = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            await greet(reader, writer)
            if count == 1:
                writer.write(b"\x00\x00\x00\x01\xc1")
            await asyncio.sleep(60)

        async with listening(serve) as port:
            chat = Chat(f"tcp://127.0.0.1:{port}")
            events = chat.events()
            async with chat:
                assert (await until(events, Online)).again is False
                assert "protocol" in (await until(events, Offline)).why
                assert (await until(events, Online)).again is True

    run(check())


def test_a_server_that_does_not_close_after_bye_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastchat.client.driver.LINGER_SECONDS", 0.1)

    async def check() -> None:
        listens = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer)
            await listens.wait()
            writer.write(tcp_frame(codec.bye(203, "forbidden", reconnect=False)))
            await asyncio.sleep(60)

        async with listening(serve) as port:
            async with Chat(f"tcp://127.0.0.1:{port}") as chat:
                events = chat.events()
                listens.set()
                with pytest.raises(Refused) as refused:
                    await anext(events)
                assert refused.value.code == 203

    run(check())


def test_a_silent_server_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "BASE", 0.01)
    monkeypatch.setattr("tests.client.test_chat.PING_MS", 1000)

    async def check() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer)
            await asyncio.sleep(60)

        async with listening(serve) as port:
            chat = Chat(f"tcp://127.0.0.1:{port}")
            events = chat.events()
            async with chat:
                assert "silent" in (await until(events, Offline)).why

    run(check())


def test_tls_that_is_none(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            for scheme in ("tcps", "wss"):
                with pytest.raises(CannotConnect):
                    await Chat(f"{scheme}://127.0.0.1:{server.port}", connect_seconds=3.0).open()

    run(check())
