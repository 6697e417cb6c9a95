"""Flooders at the socket: what passes, who is slowed how, and that nobody else notices.

The ladder's times are shortened; its order and its counts are those of every server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import RoomOptions
from fastchat.errors import ConfigError
from fastchat.hub import pacing
from fastchat.hub.ladder import LADDER, Rung, Standing
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.certificate import make_certificate
from tests.server.parts import Parts
from tests.server.wire import BYE, ERROR, JOIN, MESSAGE, PING, PUBLISH, RESULT, dial, serving

RATE, BURST = 25.0, 50  # two seconds to fill, as by default: no rest takes anything away
RUNGS = {
    Standing.SLOWED: Rung(100, 1500, Standing.MUTED, 0),
    Standing.MUTED: Rung(100, 500, Standing.CUT, 30_000),
}
ROOMS = {"default": RoomOptions(rate=RATE, burst=BURST), "slow": RoomOptions(rate=0.5, burst=1)}
KINDS = ("tcp", "ws", "json", "unix", "tls")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ladder that is climbed in two seconds instead of twenty, and by no pace of the connection."""
    monkeypatch.setattr(pacing, "COMMANDS_RATE", 1e6)
    monkeypatch.setattr(pacing, "BYTES_RATE", 1e9)
    for standing, rung in RUNGS.items():
        monkeypatch.setitem(LADDER, standing, rung)  # type: ignore[misc]


@asynccontextmanager
async def limited(kind: str, folder: Path, **given: Any) -> AsyncIterator[tuple[Server, dict[str, Any]]]:
    """A server with limits, and how to dial it."""
    how: dict[str, Any] = {"wire": kind if kind in ("ws", "json") else "tcp"}
    if kind == "unix":
        how["unix"] = given["unix"] = str(folder / "s")
    if kind == "tls":
        given["tls_cert"], given["tls_key"] = make_certificate(folder)
        how["tls"] = ssl.create_default_context(cafile=given["tls_cert"])
    async with serving(rate_limits=True, rooms=ROOMS, **given) as server:
        yield server, how


async def pour(peer: Any, count: int = 50) -> None:
    """Publish as fast as the connection takes it, until it ends."""
    frame = b"".join(peer.frame(PUBLISH, number, "lobby", "x" * 20) for number in range(1, count + 1))
    with contextlib.suppress(ConnectionError):
        while True:
            peer.write(frame)
            await peer.writer.drain()
            await asyncio.sleep(0)


async def collect(peer: Any) -> list[Any]:
    """Everything that comes until the connection ends."""
    found = []
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, AssertionError):
        while True:
            found.append(await peer.receive())
    return found


async def chatter(peer: Any, room: str, seconds: float) -> tuple[int, float]:
    """Say something ten times a second; how often, and the longest wait for an answer."""
    said, worst, until = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        peer.send(PUBLISH, 1000 + said, room, said)
        while True:
            answer = await peer.receive()
            if answer[0] == RESULT and answer[1] == 1000 + said:
                break
            assert answer[0] == MESSAGE, answer
        worst = max(worst, time.monotonic() - begun)
        said += 1
        await asyncio.sleep(0.1)
    return said, worst


@pytest.mark.parametrize("kind", KINDS)
def test_a_flooder_gets_its_rate_and_is_slowed_muted_and_cut(
    run: Runner, hasty: None, tmp_path: Path, kind: str
) -> None:
    async def scenario() -> None:
        async with limited(kind, tmp_path, linger_seconds=0.3) as (server, how), AsyncExitStack() as stack:
            names = ("eve", "bob", "cy")
            eve, bob, cy = [await stack.enter_async_context(dial(server, name=name, **how)) for name in names]
            for peer, room in ((eve, "lobby"), (bob, "lobby"), (bob, "hall"), (cy, "hall")):
                peer.send(JOIN, 7, room, {})
                await peer.until(RESULT)
            heard = asyncio.create_task(collect(bob))
            begun = time.monotonic()
            flood = asyncio.create_task(pour(eve))
            others = asyncio.create_task(chatter(cy, "hall", 2.0))
            got = await collect(eve)
            took = time.monotonic() - begun
            await flood
            said, worst = await others
            await bob.close()

            bye = got[-1]
            assert (bye[0], bye[1], bye[3]["reconnect"], bye[3]["after_ms"]) == (BYE, 400, True, 60_000)
            climbed = server.hub.limiting
            assert climbed is not None
            assert [climbed.climbed[one] for one in Standing] == [0, 1, 1, 1, 1]
            assert 1.9 < took < 6.0, "one rung after the other"
            refused = [one for one in got if one[0] == ERROR]
            assert {one[2] for one in refused} == {400}
            silent = [one for one in refused if one[4]["retry_ms"] > 1000]
            assert len(silent) >= 100, "muted ones are told how long"
            assert refused.index(silent[0]) >= 120

            messages = [one for one in await heard if one[0] == MESSAGE]
            relayed = [one for one in messages if one[1] == "lobby"]
            assert all(user == "eve" for _, _, _, _, user, *_ in relayed)
            span = (relayed[-1][3] - relayed[0][3]) / 1000
            assert len(relayed) == pytest.approx(BURST + RATE * span, rel=0.05)
            assert span == pytest.approx(1.5, abs=0.5), "nothing passes of who is muted"
            offsets = [one[2] for one in relayed]
            assert offsets == list(range(1, len(relayed) + 1))
            assert [one[5] for one in messages if one[1] == "hall"] == list(range(said)), "nothing is lost"
            assert worst < 1.0

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_slowed_is_not_read_from_for_a_moment(run: Runner, tmp_path: Path, kind: str) -> None:
    async def scenario() -> None:
        async with limited(kind, tmp_path) as (server, how), AsyncExitStack() as stack:
            eve = await stack.enter_async_context(dial(server, name="eve", **how))
            bob = await stack.enter_async_context(dial(server, name="bob", **how))
            eve.send(JOIN, 7, "slow:1", {})
            await eve.until(RESULT)
            begun = time.monotonic()
            eve.write(b"".join(eve.frame(PUBLISH, number, "slow:1", "x") for number in range(1, 101)))
            answers = [await eve.receive() for _ in range(101)]
            assert time.monotonic() - begun < 0.9, "what was read is answered at once"
            assert sorted(one[1] for one in answers if one[0] != MESSAGE) == list(range(1, 101))
            eve.send(PING, 999)
            bob.send(PING, 1)
            await bob.until(RESULT)
            assert time.monotonic() - begun < 0.9, "nobody else waits"
            answer = await eve.until(RESULT)
            waited = time.monotonic() - begun
            assert answer[1] == 999 and waited >= 0.95, "the next message may pass in two seconds"
            eve.send(PING, 1000)
            assert (await eve.until(RESULT))[1] == 1000
            assert time.monotonic() - begun < waited + 0.9, "once it has rested it is read from"

    run(scenario())


def test_resting_is_not_silence(run: Runner, tmp_path: Path) -> None:
    """Who is not read from cannot answer a PING: that is no reason to end the connection."""

    async def scenario() -> None:
        async with limited("tcp", tmp_path, ping_ms=200) as (server, how), dial(server, name="eve") as eve:
            eve.send(JOIN, 7, "slow:1", {})
            await eve.until(RESULT)
            eve.write(b"".join(eve.frame(PUBLISH, number, "slow:1", "x") for number in range(1, 101)))
            begun = time.monotonic()
            while time.monotonic() - begun < 1.5:
                answer = await eve.receive()
                assert answer[0] != BYE
                if answer[0] == 72:
                    eve.send(17, 0)

    run(scenario())


def test_a_slowed_flooder_that_does_not_read_is_nobodys_trouble(
    run: Runner, parts: Parts, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with limited("tcp", tmp_path) as (server, how), dial(server, name="bob") as bob:
            async with dial(server, name="eve") as eve:
                eve.send(JOIN, 7, "lobby", {})
                flood = asyncio.create_task(pour(eve))
                assert (await chatter(bob, "hall", 0.0))[0] == 0
                bob.send(JOIN, 7, "hall", {})
                await bob.until(RESULT)
                _, worst = await chatter(bob, "hall", 1.0)
                assert worst < 1.0
                flood.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await flood
                eve.writer.transport.abort()  # what was written still waits for the server to read it
            while server.connections > 1:
                await asyncio.sleep(0.01)

    run(scenario())


def test_over_tls_who_only_listens_gets_everything(run: Runner, parts: Parts, tmp_path: Path) -> None:
    """With TLS a transport may say that it holds bytes when it does not: that must not wait for input."""

    async def scenario() -> None:
        async with limited("tls", tmp_path) as (server, how), AsyncExitStack() as stack:
            names = ("ada", "bob")
            ada, bob = [await stack.enter_async_context(dial(server, name=name, **how)) for name in names]
            for peer in (ada, bob):
                peer.send(JOIN, 7, "lobby", {})
                await peer.until(RESULT)
            for number in range(10):
                ada.send(PUBLISH, 0, "lobby", number)
                assert (await bob.until(MESSAGE))[5] == number

    run(scenario())


def test_a_flood_of_pings_over_tls_is_answered(
    run: Runner, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "COMMANDS_RATE", 1e6)

    async def scenario() -> None:
        async with limited("tls", tmp_path) as (server, how), dial(server, name="ada", **how) as ada:
            sent = asyncio.create_task(_pings(ada, 20_000))
            for number in range(1, 20_001):
                assert (await ada.receive())[:2] == [RESULT, number]
            await sent

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_who_floods_with_what_is_never_refused_is_read_from_later(
    run: Runner, tmp_path: Path, kind: str
) -> None:
    async def scenario() -> None:
        async with limited(kind, tmp_path) as (server, how), AsyncExitStack() as stack:
            eve = await stack.enter_async_context(dial(server, name="eve", **how))
            bob = await stack.enter_async_context(dial(server, name="bob", **how))
            begun = time.monotonic()
            eve.write(b"".join(eve.frame(PING, number) for number in range(1, 601)))
            for number in range(1, 601):
                assert (await eve.receive())[:2] == [RESULT, number]
            assert time.monotonic() - begun < 0.9, "what was read is answered at once"
            eve.send(PING, 601)
            bob.send(PING, 1)
            await bob.until(RESULT)
            assert time.monotonic() - begun < 0.9, "nobody else waits"
            assert (await eve.until(RESULT))[1] == 601
            assert time.monotonic() - begun > 0.5, "the burst is for all that a user may do at once, and more"

    run(scenario())


async def _pings(peer: Any, count: int) -> None:
    for first in range(1, count, 100):
        peer.write(b"".join(peer.frame(PING, first + place) for place in range(100)))
        await peer.writer.drain()


def test_a_server_that_ends_lets_go_of_a_flooder(run: Runner, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with limited("tcp", tmp_path, drain_seconds=3.0, linger_seconds=0.2) as (server, how):
            async with dial(server, name="eve") as eve:
                eve.send(JOIN, 7, "slow:1", {})
                await eve.until(RESULT)
                eve.write(b"".join(eve.frame(PUBLISH, number, "slow:1", "x") for number in range(1, 101)))
                await eve.until(ERROR)
                begun = time.monotonic()
                draining = asyncio.create_task(server.drain())
                assert (await eve.until(BYE))[1] == 102
                await eve.close()
                await draining
                assert time.monotonic() - begun < 2.0

    run(scenario())


def test_without_limits_a_public_address_is_refused(run: Runner) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match=r"(?s)without rate limits .* --limits off"):
            async with serving(host="0.0.0.0", allow_insecure_bind=True, rate_limits=False):
                raise AssertionError("it listens")

    run(scenario())
