"""Fixtures that every layer's tests share.

`run` executes a coroutine on a fresh loop, once on uvloop and once on asyncio, and fails on whatever the
test leaves behind: tasks, exceptions nobody saw, unclosed sockets.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop
from hypothesis import settings

# A shell that starts us in the background has us ignore Ctrl-C, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

T = TypeVar("T")

PATIENCE = float(os.environ.get("FASTCHAT_TEST_PATIENCE", "1"))  # times longer, as under sanitizers
TIMEOUT = 20.0 * PATIENCE  # seconds a test may take on a machine that is busy with other things
SETTLE = 10  # loop iterations in which what was cancelled or closed may finish

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}

# A busy machine is no failure; what CI finds must not depend on the day it ran.
settings.register_profile("house", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("house")


class Runner:
    """Call it with a coroutine: its result, or its exception; `loop_name` tells which loop it is."""

    def __init__(self, loop_name: str) -> None:
        self.loop_name = loop_name

    def __call__(self, coroutine: Coroutine[Any, Any, T], timeout: float = TIMEOUT) -> T:
        """Run it on a loop of its own; fail after `timeout` seconds, or on anything left behind.

        A loop that never yields is ended by pytest's faulthandler_timeout (pyproject.toml).
        """
        seen: list[dict[str, Any]] = []
        loop = LOOPS[self.loop_name]()
        loop.set_debug(False)
        loop.set_exception_handler(lambda _, context: seen.append(context))
        try:
            asyncio.set_event_loop(loop)
            result, left = loop.run_until_complete(_bounded(coroutine, timeout))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            gc.collect()  # so that an unclosed socket is this test's fault and not a later one's
        if left:
            pytest.fail("tasks left running:\n  " + "\n  ".join(left))
        if seen:
            pytest.fail("the loop met exceptions:\n  " + "\n  ".join(_tell(context) for context in seen))
        return result


async def _bounded(coroutine: Coroutine[Any, Any, T], timeout: float) -> tuple[T, list[str]]:
    """Await the coroutine and cancel what it left running; tell which tasks those were."""
    try:
        async with asyncio.timeout(timeout):
            result = await coroutine
    finally:
        for _ in range(SETTLE):
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        left = [repr(task) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return result, left


def _tell(context: dict[str, Any]) -> str:
    return f"{context.get('message')} {context.get('exception')!r}"


def pytest_collection_finish() -> None:
    """Let no collection look again at what every test shares: with it each one takes a tenth of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Runner:
    """`run(coroutine, timeout=20.0)`, on uvloop and on asyncio in turn."""
    return Runner(request.param)
