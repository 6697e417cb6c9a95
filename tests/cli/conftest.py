from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tests.client.background import Running, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server that every command finds by FASTCHAT_URL."""
    with running() as one:
        monkeypatch.setenv("FASTCHAT_URL", one.url)
        monkeypatch.delenv("FASTCHAT_NAME", raising=False)
        yield one


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()
