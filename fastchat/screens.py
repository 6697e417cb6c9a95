"""What looks at messages, as the settings say: files of words, and a hook.

Invariant: a file that cannot be read is an error at start; later, on SIGHUP, what was read before stays.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from fastchat.config import DEFAULT_ROOM, Config
from fastchat.errors import ConfigError
from fastchat.hooks import HookRunner, load_hook
from fastchat.hub.screening import Screening
from fastchat.hub.wordfilter import WordFilter, read_filter

MAX_BYTES = 4 * 1024 * 1024  # of a file of words

LOG = logging.getLogger(__name__)


def read_filters(config: Config) -> dict[str, WordFilter]:
    """Read every file of words that the rooms' options name; raises ConfigError."""
    options = [DEFAULT_ROOM, *config.rooms.values()]
    return {path: _read(path) for path in sorted({one.filter for one in options if one.filter})}


def _read(path: str) -> WordFilter:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: longer than {MAX_BYTES:,} bytes")
        return read_filter(content.decode("utf-8-sig"), path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start})") from error


class Screens:
    """The filters and the hook of one server. `now` tells server time in ms."""

    def __init__(self, config: Config, now: Callable[[], int]) -> None:
        self._config = config
        self._hook = HookRunner(load_hook(config.hook), config, now) if config.hook else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: asyncio.Task[None] | None = None
        self.screening = Screening(read_filters(config), self._hook)

    def watch(self) -> None:
        """Read the files of words again whenever SIGHUP comes; without any it ends the server, as ever."""
        if not self.screening.filters:
            return
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the files of words again, beside the loop."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            self.screening.filters = await asyncio.to_thread(read_filters, self._config)
        except ConfigError as error:
            LOG.error("the words stay as they were: %s", error)
        else:
            LOG.info("read %d files of words", len(self.screening.filters))

    async def stop(self) -> None:
        """Let go of what is under way."""
        if self._hook is not None:
            await self._hook.stop()
        if self._reading is not None:
            await asyncio.wait({self._reading})
        if self._loop is not None:
            self._loop.remove_signal_handler(signal.SIGHUP)
            self._loop = None
