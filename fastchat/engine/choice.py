"""Make the engine that the settings name, and close it.

Invariant: whoever has a store holds the lock of its folder until it is closed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from fastchat.config import Config
from fastchat.engine.base import Engine
from fastchat.engine.epochs import boot_id
from fastchat.engine.lock import Lock
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.schema import FILE
from fastchat.engine.sqlite import Post, SqliteEngine
from fastchat.engine.store import Store


class OpenEngine:
    """An engine and what closes it."""

    def __init__(self, engine: Engine, close: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self._close: Callable[[], None] | None = close

    async def close(self) -> None:
        """Store what waits, tell it, close; once."""
        close, self._close = self._close, None
        if close is not None:
            await asyncio.to_thread(close)


async def open_engine(config: Config) -> OpenEngine:
    """Open the engine of these settings, which answers on the running loop.

    Raises ConfigError: the folder is in use, cannot be made, or holds what this fastchat cannot read.
    """
    memory = MemoryEngine(config, fresh())
    if config.engine != "sqlite":
        return OpenEngine(memory)
    post = asyncio.get_running_loop().call_soon_threadsafe
    return await asyncio.to_thread(_open_store, config, memory, post)


def _open_store(config: Config, memory: MemoryEngine, post: Post) -> OpenEngine:
    lock = Lock(Path(config.data))
    try:
        engine = SqliteEngine(config, memory, Store(lock.folder / FILE, config, boot_id(), fresh), post)
        engine.start()
    except BaseException:
        lock.release()
        raise

    def close() -> None:
        engine.close()
        lock.release()

    return OpenEngine(engine, close)


def fresh() -> str:
    """Make an epoch that was never there before."""
    return secrets.token_hex(6)
