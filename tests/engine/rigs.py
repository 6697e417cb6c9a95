"""A SQLite engine under test, whose loop is the test itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from fastchat.config import Config
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.schema import FILE
from fastchat.engine.sqlite import SqliteEngine
from fastchat.engine.store import Store
from tests.conftest import TIMEOUT
from tests.engine.contract import Rig

NAMES: Iterator[int] = count()  # of epochs: none comes twice


def fresh() -> str:
    return f"epoch-{next(NAMES)}"


class StoreRig(Rig):
    """`settle` runs what the store's thread posts."""

    engine: SqliteEngine

    def __init__(self, config: Config, folder: Path, boot: str = "boot") -> None:
        self.config = config
        self.folder = folder
        self.posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.store = Store(folder / FILE, config, boot, fresh)
        engine = SqliteEngine(config, MemoryEngine(config, fresh()), self.store, self.posted.put)
        engine.start()
        super().__init__(engine)

    def settle(self) -> None:
        while self.engine.jobs:
            self.posted.get(timeout=TIMEOUT)()

    def close(self) -> None:
        """Close in order, and tell what was not told yet."""
        self.engine.close()
        while not self.posted.empty():
            self.posted.get()()

    def copy(self, folder: Path) -> Path:
        """Copy what the kernel has: what is left of a server that is killed now."""
        self.settle()
        folder.mkdir()
        for name in (FILE, f"{FILE}-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, folder / name)
        return folder
