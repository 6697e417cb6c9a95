"""A server in a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastchat.config import Config
from fastchat.server import Server

T = TypeVar("T")


class Running:
    """A server, and the loop it runs on."""

    def __init__(self, **given: Any) -> None:
        self.config = Config(**({"port": 0, "rate_limits": False} | given))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._thread.start()
        self.start()

    def start(self) -> None:
        self.server = Server(self.config)
        self.run(self.server.start())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.server.port}"

    def stop(self) -> None:
        self.run(self.server.stop())
        self.run(asyncio.sleep(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def running(**given: Any) -> Iterator[Running]:
    server = Running(**given)
    try:
        yield server
    finally:
        server.stop()
