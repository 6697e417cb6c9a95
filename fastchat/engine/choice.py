"""Open the engine that the settings name, and close it.

Invariant: whoever has a store holds the lock of its folder until it is closed.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from fastchat.config import Config
from fastchat.engine.base import Engine
from fastchat.engine.epochs import boot_id
from fastchat.engine.lock import Lock
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.schema import FILE
from fastchat.engine.sqlite import Post, SqliteEngine
from fastchat.engine.store import Store


class ChosenEngine:
    """The engine that was given or, once it is opened, the one that the settings name."""

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine
        self._lock: Lock | None = None

    @property
    def engine(self) -> Engine:
        """The engine, once it is opened."""
        assert self._engine is not None
        return self._engine

    async def open(self, config: Config) -> None:
        """Open it; it answers on the running loop.

        Raises ConfigError: the folder is in use, cannot be made, or holds what this fastchat cannot read.
        """
        if self._engine is not None:
            return
        memory = MemoryEngine(config, fresh())
        if config.engine != "sqlite":
            self._engine = memory
            return
        post = asyncio.get_running_loop().call_soon_threadsafe
        await asyncio.to_thread(self._open_store, config, memory, post)

    def _open_store(self, config: Config, memory: MemoryEngine, post: Post) -> None:
        lock = Lock(Path(config.data))
        try:
            engine = SqliteEngine(config, memory, Store(lock.folder / FILE, config, boot_id(), fresh), post)
            engine.start()
        except BaseException:
            lock.release()
            raise
        self._engine, self._lock = engine, lock

    async def settle(self, seconds: float) -> None:
        """Wait until all that was asked so far is told, `seconds` at most."""
        if isinstance(self._engine, SqliteEngine):
            settled = asyncio.get_running_loop().create_future()
            self._engine.after(lambda: None if settled.done() else settled.set_result(None))
            await asyncio.wait((settled,), timeout=seconds)

    async def close(self) -> None:
        """Store what waits, tell it, close; once, and only what was opened here."""
        lock, self._lock = self._lock, None
        if lock is not None:
            assert isinstance(self._engine, SqliteEngine)
            await asyncio.to_thread(_close, self._engine, lock)


def _close(engine: SqliteEngine, lock: Lock) -> None:
    """Close, and only then let go: in the thread, which goes on though whoever waits for it gives up."""
    try:
        engine.close()
    finally:
        lock.release()


def fresh() -> str:
    """Make an epoch that was never there before."""
    return secrets.token_hex(6)
