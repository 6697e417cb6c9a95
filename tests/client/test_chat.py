"""The client on real sockets against the real server: TCP, WebSocket and Unix, uvloop and asyncio."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.client import (
    CannotConnect,
    Closed,
    Direct,
    Gap,
    Message,
    Online,
    Presence,
    Refused,
    RequestTimeout,
    Signal,
    connect,
)
from fastchat.errors import Code
from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from tests.client.conftest import serving, url_of

Run = Callable[..., Any]
PING_MS = 25_000  # as `greet` says it


def test_a_conversation(run: Run, kind: str, sock: str) -> None:
    async def check() -> None:
        async with serving(unix=sock) as server:
            url = url_of(server, kind, sock)
            async with connect(url, name="ada") as ada, connect(url, name="bob") as bob:
                assert (ada.user, bob.user) == ("ada", "bob")
                room = bob.room("lobby")
                await room.join()
                ack = await ada.publish("lobby", "hi")
                assert (ack.offset, ack.duplicate) == (1, False)
                data = {"move": [1, "e4", b"\x00\xff"], "n": None}
                await ada.publish("lobby", data)
                said = [await anext(room), await anext(room)]
                assert [(one.offset, one.user, one.data) for one in said] == [
                    (1, "ada", "hi"),
                    (2, "ada", data),
                ]
                assert room.position is not None and room.position[1] == 2
                assert 0 < await ada.ping() < 5

    run(check())


def test_history_before_what_is_said(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url) as ada, connect(url) as bob:
                for number in range(5):
                    await ada.publish("lobby", number)
                async with bob.room("lobby", history=2) as room:
                    await ada.publish("lobby", 5)
                    assert [(await anext(room)).data for _ in range(3)] == [3, 4, 5]
                # and where the room is joined already: exactly as much, then what comes
                late = ada.room("lobby", history=3)
                await late.join()
                await ada.publish("lobby", 6)
                assert [(await anext(late)).data for _ in range(4)] == [3, 4, 5, 6]
                assert [one.offset for one in await bob.history("lobby", after=1, limit=2)] == [2, 3]
                assert [one.offset for one in await bob.history("lobby", before=4, limit=2)] == [2, 3]

    run(check())


def test_since_goes_on_where_another_run_stood(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as ada:
                async with connect(url, name="bob") as bob:
                    await ada.publish("lobby", 1)
                    joined = await bob.join("lobby")
                position = (joined.epoch, joined.offset)
                await ada.publish("lobby", 2)
                await ada.publish("lobby", 3)
                async with connect(url, name="bob") as bob:
                    room = bob.room("lobby", since=position)
                    assert [(await anext(room)).data for _ in range(2)] == [2, 3]
                    with pytest.raises(ValueError, match="other options"):
                        bob.room("lobby", history=3)
                    assert bob.room("lobby") is room
                    await bob.join("elsewhere")
                    with pytest.raises(ValueError, match="already in"):
                        bob.room("elsewhere", since=position)

    run(check())


def test_presence_directs_signals_blocks_and_states(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as ada, connect(url, name="bob") as bob:
                events = bob.events()
                await bob.join("lobby", presence=True)
                snapshot = await until(events, Presence)
                assert snapshot.snapshot and [one.user for one in snapshot.joined] == ["bob"]
                await ada.join("lobby")
                assert [one.user for one in (await until(events, Presence)).joined] == ["ada"]
                await ada.state("lobby", {"typing": True})
                assert (await until(events, Presence)).joined[0].state == {"typing": True}
                members = await ada.presence("lobby")
                assert members.count == 2 and {one.user for one in members.members} == {"ada", "bob"}
                assert await ada.direct("bob", "psst") == 1
                assert (await until(events, Direct)).data == "psst"
                assert await ada.signal("bob", {"sdp": "x"}) == 1
                assert (await until(events, Signal)).data == {"sdp": "x"}
                await bob.block("ada")
                await ada.publish("lobby", "unheard")
                assert (await until(events, Gap)).why == "hidden"
                await bob.block("ada", False)
                await ada.publish("lobby", "heard")
                assert (await until(events, Message)).data == "heard"
                await ada.leave("lobby")
                assert (await until(events, Presence)).left == ("ada",)
                await ada.leave("lobby")  # being out of it is what was wanted

    run(check())


async def until(events: Any, kind: type) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event


def test_without_echo_and_ephemeral(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            room = chat.room("lobby")
            await room.join()
            assert (await chat.publish("lobby", "unechoed", echo=False)).offset == 1
            assert (await chat.publish("lobby", "fleeting", ephemeral=True)).offset == 0
            assert (await chat.publish("lobby", "kept")).offset == 2
            assert [(await anext(room)).data for _ in range(2)] == ["fleeting", "kept"]

    run(check())


def test_a_key_says_it_once(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            first = await chat.publish("lobby", "once", key="k")
            again = await chat.publish("lobby", "once", key="k")
            assert again == first._replace(duplicate=True)

    run(check())


def test_posting_asks_for_nothing_and_arrives_before_the_end(run: Run, kind: str, sock: str) -> None:
    async def check() -> None:
        async with serving(unix=sock) as server:
            url = url_of(server, kind, sock)
            async with connect(url) as bob:
                room = bob.room("lobby")
                await room.join()
                async with connect(url) as ada:
                    for number in range(500):
                        await ada.post("lobby", number)
                assert [(await anext(room)).data for _ in range(500)] == list(range(500))

    run(check())


def test_many_publish_at_once_and_keep_their_order(run: Run, kind: str, sock: str) -> None:
    async def check() -> None:
        async with serving(unix=sock) as server:
            async with connect(url_of(server, kind, sock)) as chat:
                await chat.join("lobby")
                acks = await asyncio.gather(*(chat.publish("lobby", number) for number in range(300)))
                assert [ack.offset for ack in acks] == list(range(1, 301))

    run(check())


def test_refusals_carry_their_code(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as ada:
                with pytest.raises(Refused) as refused:
                    async with connect(url, name="ADA"):
                        pass
                assert refused.value.code is Code.NAME_TAKEN and refused.value.field == "name"
                with pytest.raises(Refused) as refused:
                    await ada.publish("no such name!", "hi")
                assert refused.value.code is Code.BAD_ARGUMENT
                with pytest.raises(Refused) as refused:
                    await ada.direct("nobody", "hi")
                assert refused.value.code is Code.USER_NOT_ONLINE and refused.value.temporary
                with pytest.raises(Refused) as refused:
                    await ada.publish("lobby", "x" * 20_000)
                assert refused.value.code is Code.TOO_LARGE
                with pytest.raises(TypeError):
                    await ada.publish("lobby", object())
                assert (await ada.publish("lobby", "still here")).offset == 1

    run(check())


def test_a_room_that_refuses_raises_for_its_reader(run: Run) -> None:
    async def check() -> None:
        async with serving(max_rooms=1) as server:
            async with connect(f"tcp://127.0.0.1:{server.port}") as chat:
                await chat.join("one")
                room = chat.room("two")
                with pytest.raises(Refused):
                    await anext(room)
                await chat.leave("one")
                await room.join()
                await chat.publish("two", "now")
                assert (await anext(room)).data == "now"

    run(check())


def test_nobody_there(run: Run, tmp_path: Any) -> None:
    async def check() -> None:
        for url in (
            "tcp://127.0.0.1:1",
            "ws://127.0.0.1:1",
            f"unix:{tmp_path}/none",
            "tcp://nowhere.invalid",
        ):
            with pytest.raises(CannotConnect, match=url[:8]):
                async with connect(url):
                    pass
        with pytest.raises(ValueError):
            connect("http://127.0.0.1")

    run(check())


def test_leaving_ends_iterations_and_answers_who_waits(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            chat = connect(f"tcp://127.0.0.1:{server.port}")
            await chat.open()
            room, events = chat.room("lobby"), chat.events()
            await room.join()
            await chat.publish("lobby", "last")
            await chat.close()
            assert [one.data async for one in room] == ["last"]
            assert [type(one) for one in [event async for event in events]] == [Message]
            with pytest.raises(Closed):
                await chat.publish("lobby", "late")
            with pytest.raises(Closed):
                await chat.post("lobby", "late")
            assert [event async for event in chat.events()] == []

    run(check())


def test_leaving_one_room_ends_its_iteration_only(run: Run) -> None:
    async def check() -> None:
        async with serving() as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            one, two = chat.room("one"), chat.room("two")
            await one.join()
            await two.join()
            await chat.leave("one")
            assert [message async for message in one] == []
            await chat.publish("two", "here")
            assert (await anext(two)).data == "here"
            again = chat.room("one")
            assert again is not one
            await again.join()
            await chat.publish("one", "anew")
            assert (await anext(again)).data == "anew"

    run(check())


def test_what_nobody_reads_any_more_is_let_go(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            async with connect(f"tcp://127.0.0.1:{server.port}", queue_bytes=10_000) as chat:
                events = chat.events()
                room = chat.room("lobby")
                await room.join()
                del room, events
                gc.collect()
                for _ in range(100):
                    await chat.publish("lobby", "x" * 1000)
                assert chat._queued() == 0

    run(check())


def test_a_request_without_an_answer_times_out(run: Run) -> None:
    async def check() -> None:
        silent: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            silent.append(writer)
            await greet(reader, writer)

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with connect(f"tcp://127.0.0.1:{port}", timeout=0.2) as chat:
            for attempt in (chat.ping, lambda: chat.join("lobby")):
                with pytest.raises(RequestTimeout, match="0.2 s"):
                    await attempt()
            with pytest.raises(TimeoutError):
                await chat.ping(timeout=0.05)
            assert len(chat._core.requests) == 0 and chat._core.feeds == {}
            silent[0].transport.abort()
        listener.close()

    run(check())


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let a client in and say nothing more."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    command = codec.decode_command(await reader.readexactly(size), codec.Limits(32, 4096))
    body = {"user": "u", "session": "s", "node": "n", "ping_ms": PING_MS, "limits": {"max_frame": 16384}}
    writer.write(tcp_frame(codec.connect_result(command.id, body, {})))


def test_an_online_event_says_who_we_are(run: Run) -> None:
    async def check() -> None:
        async with serving(node="here") as server:
            chat = connect(f"tcp://127.0.0.1:{server.port}", name="ada")
            events = chat.events()
            async with chat:
                assert await anext(events) == Online("ada", "here", False)

    run(check())
