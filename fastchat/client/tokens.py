"""Fresh tokens from whoever uses the client: a text that stays, or a function that gives one.

Invariant: the function is called before the first connection, in time before a token ends, and after one was
refused; never twice at once. What it gives is shown to the server and to nobody else.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastchat.client.core import Core, Phase
from fastchat.errors import FastChatError

LOG = logging.getLogger("fastchat.client")

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]


class NoToken(FastChatError):
    """The function that gives tokens failed."""


class Tokens:
    """Brings a core the tokens that it wants."""

    def __init__(self, source: Token | None, core: Core) -> None:
        self._source = source
        self._core = core
        self._task: asyncio.Task[None] | None = None

    async def before_connecting(self) -> None:
        """Bring what the next CONNECT needs; raises NoToken."""
        now = asyncio.get_running_loop().time()
        if self._core.passport.stale(now):
            self._core.renew(await self._fresh(), now)

    def look(self, done: Callable[[], None]) -> None:
        """Begin to bring what a standing connection needs, and call `done` then; or stop, if it is over."""
        passport, phase = self._core.passport, self._core.phase
        if phase is Phase.READY and passport.wanting and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._bring(done), name="fastchat token")
        elif phase is not Phase.READY and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _bring(self, done: Callable[[], None]) -> None:
        clock = asyncio.get_running_loop().time
        try:
            token = await self._fresh()
            if token == self._core.passport.token:  # a file that nobody has written anew yet
                self._core.passport.unrenewed(clock())
            else:
                self._core.renew(token, clock())
        except NoToken as error:
            LOG.warning("%s", error)
            self._core.passport.unrenewed(clock())
        self._task = None
        done()

    async def _fresh(self) -> str:
        source = self._source
        try:
            given = source() if callable(source) else source
            token = await given if inspect.isawaitable(given) else given
        except Exception as error:  # of a program that is not ours
            raise NoToken(f"no fresh token: {type(error).__name__}: {error}") from error
        if not isinstance(token, str) or not token:
            raise NoToken("no fresh token: what should give one gave none")
        return token
