"""A crowd that moves and speaks in a world, over real sockets: everybody hears who is near, no more."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from itertools import cycle
from typing import Any

import pytest

from fastchat.config import Policy, RoomOptions
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import ERROR, JOIN, MESSAGE, PUBLISH, RESULT, WIRES, dial, serving

STATE = 8
RADIUS = 10.0
PLAYERS = 24
STEPS = 300
WRONG = [[1], [1, "2"], [1e300, 0], [True, 0], "0,0", {}, [0, 2**62]]


async def asked(peer: Any, *message: Any) -> Any:
    """Send, and return the answer; what comes before it is kept in `peer.heard`."""
    peer.send(*message)
    while True:
        got = await peer.receive()
        if got[0] in (RESULT, ERROR) and got[1] == message[1]:
            return got
        assert got[0] == MESSAGE, got
        peer.heard.append(got[5])


@pytest.mark.parametrize("backend", ["raw", "transport"])
@pytest.mark.parametrize("tick", [0, 20])
def test_a_crowd_in_a_world(run: Runner, parts: Parts, backend: str, tick: int) -> None:
    world = RoomOptions(radius=RADIUS, coalesce_ms=tick, policy=Policy.DROP)
    draw = random.Random(tick)

    async def scenario() -> None:
        async with serving(rooms={"world": world}, backend=backend) as server, AsyncExitStack() as stack:
            peers = []
            for number, wire in zip(range(PLAYERS), cycle(WIRES), strict=False):
                peer = await stack.enter_async_context(dial(server, wire, f"p{number}"))
                peer.heard = []
                assert (await asked(peer, JOIN, 2, "world:1", {}))[2]["offset"] == 0
                peers.append(peer)
            places: dict[int, tuple[float, float]] = {}
            expected: list[list[int]] = [[] for _ in peers]
            for step in range(STEPS):
                mover, speaker = draw.randrange(PLAYERS), draw.randrange(PLAYERS)
                places[mover] = draw.uniform(-20, 20), draw.uniform(-20, 20)
                assert (await asked(peers[mover], STATE, 3, "world:1", {"at": places[mover]}))[0] == RESULT
                result = await asked(peers[speaker], PUBLISH, 4, "world:1", step)
                assert result[2]["offset"] == 0
                for number, (x, y) in places.items() if speaker in places else ():
                    a, b = places[speaker]
                    if (a - x) ** 2 + (b - y) ** 2 <= RADIUS**2:
                        expected[number].append(step)
            for number, peer in enumerate(peers):
                while len(peer.heard) < len(expected[number]):
                    peer.heard.append((await peer.until(MESSAGE))[5])
                await asked(peer, 16, 5)
                assert peer.heard == expected[number]
            assert sum(map(len, expected)) > STEPS

    run(scenario())


def test_a_place_that_is_none(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        rooms = {"default": RoomOptions(radius=RADIUS)}
        async with serving(rooms=rooms) as server, AsyncExitStack() as stack:
            for wire in WIRES:
                peer = await stack.enter_async_context(dial(server, wire, wire))
                peer.heard = []
                await asked(peer, JOIN, 2, "world:1", {})
                for number, wrong in enumerate(WRONG, 3):
                    answer = await asked(peer, STATE, number, "world:1", {"at": wrong})
                    assert answer[:3] == [ERROR, number, 302] and answer[4]["field"] == "state"
                await asked(peer, PUBLISH, 99, "world:1", "x")
                await asked(peer, 16, 100)
                assert peer.heard == [], "it is nowhere"

    run(scenario())
