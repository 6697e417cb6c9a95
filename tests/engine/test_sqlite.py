"""The SQLite engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from fastchat.config import Config
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.schema import FILE
from fastchat.engine.sqlite import SqliteEngine
from fastchat.engine.store import Store
from tests.conftest import TIMEOUT
from tests.engine.contract import EngineContract, Rig


class StoreRig(Rig):
    """A SQLite engine whose loop is the test: `settle` runs what the store's thread posts."""

    engine: SqliteEngine

    def __init__(self, config: Config, folder: Path, boot: str = "boot", *epochs: str) -> None:
        self.posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        names = iter(epochs)
        self.epochs = 0

        def fresh() -> str:
            self.epochs += 1
            return next(names, f"{id(self):x}-{self.epochs}")

        self.store = Store(folder / FILE, config, boot, fresh)
        engine = SqliteEngine(config, MemoryEngine(config, f"m-{id(self)}"), self.store, self.posted.put)
        engine.start()
        super().__init__(engine)

    def settle(self) -> None:
        while self.engine.jobs:
            self.posted.get(timeout=TIMEOUT)()

    def close(self) -> None:
        self.engine.close()
        while not self.posted.empty():
            self.posted.get()()


class TestSqlite(EngineContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.rigs: list[StoreRig] = []
        yield
        for rig in self.rigs:
            rig.close()

    def make(self, config: Config) -> Rig:
        rig = StoreRig(config, self.folder)
        self.rigs.append(rig)
        return rig
