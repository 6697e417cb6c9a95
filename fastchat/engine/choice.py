"""Make the engine that the settings name.

Invariant: whoever gets a store holds the lock of its folder until it is closed.
"""

from __future__ import annotations

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


def open_engine(config: Config, post: Post) -> tuple[Engine, Callable[[], None]]:
    """Return an engine, and what closes it; both may take a while, so neither is for the loop's thread.

    Raises ConfigError: the folder is in use, cannot be made, or holds what this fastchat cannot read.
    """
    memory = MemoryEngine(config, fresh())
    if config.engine != "sqlite":
        return memory, lambda: None
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

    return engine, close


def fresh() -> str:
    """Make an epoch that was never there before."""
    return secrets.token_hex(6)
