"""Nobody may keep a connection by doing nothing; times are small settings, not waits of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import BYE, CONNECT, PING, PING_PUSH, PONG, RESULT, WIRES, dial, serving, tcp, upgrade

TICK = 0.1  # seconds: how late a deadline may be
SLACK = 1.5  # seconds a busy machine may add


async def timed(act: Awaitable[Any]) -> tuple[float, Any]:
    """How long it took, and its result."""
    clock = asyncio.get_running_loop().time
    began = clock()
    result = await act
    return clock() - began, result


def test_silence_from_the_first_byte_on_gets_bye_406(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(connect_seconds=0.2) as server, dial(server) as peer:
            took, message = await timed(peer.receive())
            assert message[:2] == [BYE, 406]
            assert 0.15 <= took <= 0.2 + TICK + SLACK
            assert await peer.rest() == b""

    run(scenario())


@pytest.mark.parametrize("wire", WIRES)
def test_no_connect_in_time_gets_bye_406(run: Runner, parts: Parts, wire: str) -> None:
    async def scenario() -> None:
        async with serving(connect_seconds=0.2) as server, dial(server, wire) as peer:
            peer.send(PING, 1)  # keeps nobody from having to say who they are
            assert (await peer.receive())[:2] == [RESULT, 1]
            assert (await peer.receive())[:2] == [BYE, 406]
            if wire != "tcp":
                assert await peer.close_code() == 4406
            assert await peer.rest() == b""

    run(scenario())


TRICKLES = {
    "tcp": tcp(CONNECT, 1, 1, {"name": "eve"}),
    "websocket": upgrade(),
    "http": b"GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n",
}


@pytest.mark.parametrize("stream", TRICKLES.values(), ids=TRICKLES)
def test_trickling_bytes_do_not_move_the_deadline(run: Runner, parts: Parts, stream: bytes) -> None:
    async def scenario() -> None:
        async with serving(connect_seconds=0.3) as server, dial(server) as peer:

            async def trickle() -> None:
                for byte in stream[:-1]:
                    peer.write(bytes([byte]))
                    await asyncio.sleep(0.03)

            feeding = asyncio.create_task(trickle())
            took, answer = await timed(peer.rest())
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            assert took <= 0.3 + TICK + SLACK
            assert b"200 OK" not in answer and b"101 " not in answer

    run(scenario())


def test_an_unfinished_request_gets_408(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(connect_seconds=0.2) as server, dial(server) as peer:
            peer.write(upgrade()[:-2])
            assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")

    run(scenario())


@pytest.mark.parametrize("wire", WIRES)
def test_silence_after_connect_gets_a_ping_then_bye_406(run: Runner, parts: Parts, wire: str) -> None:
    async def scenario() -> None:
        async with serving(ping_ms=200) as server, dial(server, wire, "ada") as peer:
            took, message = await timed(peer.receive())
            assert message[0] == PING_PUSH and message[1] > 1_600_000_000_000
            assert 0.15 <= took <= 0.2 + TICK + SLACK
            took, message = await timed(peer.receive())
            assert message[:2] == [BYE, 406]
            assert took <= 0.2 + TICK + SLACK
            if wire != "tcp":
                assert await peer.close_code() == 4406
            assert await peer.rest() == b""

    run(scenario())


def test_any_traffic_answers_a_ping(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(ping_ms=200) as server, dial(server, "tcp", "ada") as peer:
            for answer in ((PONG, 0), (PING, 0), (PONG, 0), (PING, 0)):
                assert (await peer.receive())[0] == PING_PUSH
                peer.send(*answer)

    run(scenario())


def test_deadlines_of_many_are_met_for_all(run: Runner, parts: Parts) -> None:
    """More than one slice of the sweep."""

    async def scenario() -> None:
        async with serving(connect_seconds=0.3) as server:
            opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(600)]
            took, answers = await timed(asyncio.gather(*(reader.read() for reader, _ in opened)))
            assert all(b"nothing came in time" in answer for answer in answers)
            assert took <= 0.3 + TICK + 2 * SLACK
            for _, writer in opened:
                writer.close()

    run(scenario())


def test_a_peer_that_does_not_close_after_bye_is_closed(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(linger_seconds=0.2, connect_seconds=0.1) as server:
            async with dial(server) as stays, dial(server, "tcp") as flooding:
                flooding.send(PING, 1)
                for peer in (stays, flooding):
                    await peer.until(BYE)
                took, _ = await timed(until_refused(flooding))
                assert took <= 0.2 + TICK + SLACK
                assert (await timed(stays.rest()))[0] <= 0.2 + TICK + SLACK

    run(scenario())


async def until_refused(peer: Any) -> None:
    """Write until the other side is closed for good."""
    try:
        while True:
            peer.write(tcp(PING, 0))
            await peer.writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        return


def test_a_browser_that_says_nothing_more_is_let_go(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(connect_seconds=0.2) as server, dial(server) as peer:
            peer.write(b"GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n")
            took, answer = await timed(peer.rest())
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ok\n")
            assert took <= 0.2 + 1.0 + SLACK

    run(scenario())


def test_a_body_that_does_not_come_is_not_waited_for(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(linger_seconds=0.2, connect_seconds=0.3) as server, dial(server) as peer:
            peer.write(b"POST / HTTP/1.1\r\nHost: chat\r\nContent-Length: 1000\r\n\r\n")
            took, answer = await timed(peer.rest())
            assert answer.startswith(b"HTTP/1.1 405 ")
            assert took <= 1.0 + SLACK

    run(scenario())
