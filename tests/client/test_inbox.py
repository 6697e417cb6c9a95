from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.client.inbox import OVERHEAD, Inbox, Stream

Run = Callable[..., Any]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_in_first_out_with_its_bytes_counted(run: Run) -> None:
    async def check() -> None:
        taken: list[int] = []
        inbox: Inbox[str] = Inbox(lambda: taken.append(inbox.bytes))
        inbox.put("b", 10)
        inbox.put("c", 20)
        inbox.put_first(["y", "a"], 5)
        assert inbox.bytes == 40 + 4 * OVERHEAD and len(inbox) == 4
        assert [await inbox.get() for _ in range(4)] == ["y", "a", "b", "c"]
        assert inbox.bytes == 0 and taken[-1] == 0 and len(taken) == 4

    run(check())


def test_whoever_waits_is_woken(run: Run) -> None:
    async def check() -> None:
        inbox: Inbox[int] = Inbox(lambda: None)
        takers = [asyncio.ensure_future(inbox.get()) for _ in range(3)]
        await settle()
        for number in range(3):
            inbox.put(number, 0)
        assert sorted(await asyncio.gather(*takers)) == [0, 1, 2]

    run(check())


def test_an_item_meant_for_somebody_who_gave_up_goes_to_the_next(run: Run) -> None:
    async def check() -> None:
        inbox: Inbox[int] = Inbox(lambda: None)
        first, second = (asyncio.ensure_future(inbox.get()) for _ in range(2))
        await settle()
        inbox.put(7, 0)
        first.cancel()
        assert await second == 7

    run(check())


def test_the_end_comes_after_what_is_there(run: Run) -> None:
    async def check() -> None:
        inbox: Inbox[int] = Inbox(lambda: None)
        inbox.put(1, 0)
        inbox.end()
        inbox.end(ValueError("too late"))
        inbox.put(2, 0)
        assert [item async for item in Stream(inbox)] == [1]
        broken: Inbox[int] = Inbox(lambda: None)
        waiting = [asyncio.ensure_future(broken.get()) for _ in range(2)]
        await settle()
        broken.end(ValueError("broken"))
        for waiter in waiting:
            with pytest.raises(ValueError):
                await waiter

    run(check())
