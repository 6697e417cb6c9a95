"""The hook: a coroutine function of the operator's that judges every message before anybody sees it.

    async def on_message(context, message):
        if message == "ping":
            return "pong"  # in its place
        if "spam" in str(message):
            raise Reject("no spam, please")
        return None  # as it is

Invariant: whatever the hook does with its time and its exceptions, each message gets one verdict, and the
server goes on. What it cannot be kept from is to block the loop: it has to await what takes long.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastchat.config import Config, HookFailure
from fastchat.errors import Code, ConfigError, ProtocolError
from fastchat.hub.limits import BUSY_RETRY_MS
from fastchat.hub.screening import Said, Verdict
from fastchat.protocol.codec import Limits, pack, scan
from fastchat.protocol.values import load_argument

MAX_TASKS = 1000  # messages of all rooms that the hook may have at once
MAX_REASON = 200  # characters told to who was rejected
MAX_KINDS = 100  # kinds of failures that are logged, each once
UNJUDGED = "it could not be looked at"

LOG = logging.getLogger(__name__)


class Reject(Exception):
    """Raise or return it: the message may not pass, and its sender is told the reason."""

    def __init__(self, reason: str = "it may not be said here") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Context:
    """Where a message comes from."""

    room: str
    user: str  # the name
    id: str  # "t:" and the token's `sub`, or "g:" and what tells a guest from others
    role: str  # "guest", "member", "moderator" or "owner", in this room
    edit: bool  # it is to replace an earlier message
    ts: int  # server time, ms since 1970


OnMessage: TypeAlias = Callable[[Context, Any], Awaitable[object]]


def load_hook(name: str) -> OnMessage:
    """Import MODULE:FUNCTION, also from the working directory; raises ConfigError."""
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise ConfigError(f"hook: {name!r} is not MODULE:FUNCTION, as in moderation:on_message")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"hook: {name!r} cannot be had: {type(error).__name__}: {error}") from error
    if not inspect.iscoroutinefunction(found):
        raise ConfigError(f"hook: {name!r} is not a coroutine function: write async def")
    return found  # type: ignore[no-any-return]


class HookRunner:
    """Runs a hook as tasks; implements `hub.screening.Hook`. `now` tells server time in ms."""

    def __init__(self, call: OnMessage, config: Config, now: Callable[[], int]) -> None:
        self.failures = 0
        self._call = call
        self._now = now
        self._seconds = config.hook_seconds
        self._unjudged = Verdict(rejected=UNJUDGED if config.hook_failure is HookFailure.REJECT else None)
        self._max_frame = config.max_frame
        self._limits = Limits(config.max_depth, config.max_elements)
        self._tasks: set[asyncio.Task[Any]] = set()  # one for each message, and one for each call that runs
        self._kinds: set[str] = set()  # of failures that were logged

    def submit(self, said: Said, done: Callable[[Verdict, int], None]) -> None:
        if len(self._tasks) >= 2 * MAX_TASKS:
            raise ProtocolError(Code.OVERLOADED, "the hook has too much to do", retry_ms=BUSY_RETRY_MS)
        self._start(self._judge(said, done))

    async def stop(self) -> None:
        """Judge nothing any more; a call that does not heed its cancellation is left behind."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._seconds)

    def _start(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _judge(self, said: Said, done: Callable[[Verdict, int], None]) -> None:
        """Let the hook have its time, and no more: one that does not heed its cancellation is left alone."""
        call = self._start(self._ask(said))
        try:
            finished, _ = await asyncio.wait({call}, timeout=self._seconds)
        finally:
            call.cancel()
        if not finished or call.cancelled():  # it may have cancelled itself
            verdict = self._failed("CancelledError" if finished else "TimeoutError", "")
        else:
            verdict = call.result()
        done(verdict, self._now())

    async def _ask(self, said: Said) -> Verdict:
        context = Context(said.room, said.user, said.id, said.role.name.lower(), said.edit, said.ts)
        try:
            return self._verdict(await self._call(context, load_argument(said.data)))
        except Reject as rejection:
            return Verdict(rejected=str(rejection.reason)[:MAX_REASON])
        except (Exception, SystemExit) as fault:
            return self._failed(type(fault).__name__, "".join(traceback.format_tb(fault.__traceback__)))

    def _verdict(self, answer: object) -> Verdict:
        if answer is None or answer is True:
            return Verdict()
        if answer is False:
            raise Reject()
        if isinstance(answer, Reject):
            raise answer
        data = pack(answer)
        scan(data, self._limits)
        if len(data) > self._max_frame:
            raise ValueError("longer than a frame may be")
        return Verdict(data)

    def _failed(self, kind: str, trace: str) -> Verdict:
        """Log what went wrong, once for each kind, without the exception's text: it may hold the message."""
        self.failures += 1
        if kind not in self._kinds and len(self._kinds) < MAX_KINDS:
            self._kinds.add(kind)
            LOG.error("the hook failed with %s; this is said once\n%s", kind, trace)
        return self._unjudged
