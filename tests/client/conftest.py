"""A server for the client to talk to, on whichever loop the test runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config
from fastchat.server import Server

Serve = Callable[..., AbstractAsyncContextManager[Server]]


@asynccontextmanager
async def serving(**given: Any) -> AsyncIterator[Server]:
    """A server on a free port of 127.0.0.1; `given` are fields of `Config`."""
    server = Server(Config(**({"port": 0, "rate_limits": False} | given)))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


KINDS = ("tcp", "ws", "unix")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sock(tmp_path: Path) -> str:
    return str(tmp_path / "s")


def url_of(server: Server, kind: str, sock: str) -> str:
    return f"unix:{sock}" if kind == "unix" else f"{kind}://127.0.0.1:{server.port}"
