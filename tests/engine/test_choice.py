"""A store is opened with the lock of its folder, which is held until the store is closed."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fastchat.config import Config
from fastchat.engine.choice import ChosenEngine
from fastchat.engine.lock import Lock
from fastchat.engine.sqlite import SqliteEngine
from fastchat.errors import ConfigError
from tests.conftest import TIMEOUT


def test_whoever_gives_up_waiting_leaves_neither_a_lock_nor_an_open_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    close = SqliteEngine.close

    def slow(engine: SqliteEngine) -> None:
        begun.set()
        assert go_on.wait(TIMEOUT)
        close(engine)

    monkeypatch.setattr(SqliteEngine, "close", slow)

    async def give_up() -> None:
        chosen = ChosenEngine(None)
        await chosen.open(Config(engine="sqlite", data=str(tmp_path)))
        closing = asyncio.create_task(chosen.close())
        assert await asyncio.to_thread(begun.wait, TIMEOUT)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConfigError):
            Lock(tmp_path)
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        Lock(tmp_path).release()

    asyncio.run(give_up())
