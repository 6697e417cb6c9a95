"""Clients that say more than a user may, against the real server: nothing is lost, nobody is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.client import Refused, connect
from fastchat.config import RoomOptions
from fastchat.errors import Code
from tests.client.conftest import serving

Run = Callable[..., Any]
COUNT = 30
FAST = {"rate_limits": True, "rooms": {"default": RoomOptions(rate=50.0, burst=5)}}


def test_one_after_another_they_all_arrive_in_their_order(run: Run) -> None:
    async def check() -> None:
        async with serving(**FAST) as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            for number in range(COUNT):
                assert (await chat.publish("lobby", number)).offset == number + 1
            assert [one.data for one in await chat.history("lobby")] == list(range(COUNT))

    run(check())


def test_all_at_once_each_arrives_once(run: Run) -> None:
    async def check() -> None:
        async with serving(**FAST) as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            await chat.join("lobby")
            acks = await asyncio.gather(*(chat.publish("lobby", number) for number in range(COUNT)))
            assert sorted(ack.offset for ack in acks) == list(range(1, COUNT + 1))
            assert sorted(one.data for one in await chat.history("lobby")) == list(range(COUNT))
            assert chat._core.connections == 1

    run(check())


def test_whoever_has_no_time_is_refused_at_once(run: Run) -> None:
    async def check() -> None:
        slow = {"rate_limits": True, "rooms": {"default": RoomOptions(rate=0.01, burst=1)}}
        async with serving(**slow) as server, connect(f"tcp://127.0.0.1:{server.port}") as chat:
            await chat.publish("lobby", 1)
            with pytest.raises(Refused) as refused:
                await chat.publish("lobby", 2, timeout=5.0)
            assert refused.value.code is Code.RATE and refused.value.retry_ms
            assert [one.data for one in await chat.history("lobby")] == [1]

    run(check())
