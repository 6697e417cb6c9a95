"""Servers for tests: made of compiled or of pure parts, and silent about faults of their own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.server.parts import Parts, both, install


@pytest.fixture(params=both())
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Whatever server the test starts is made of compiled parts, then of pure ones."""
    chosen: Parts = request.param
    install(chosen, monkeypatch)
    return chosen


@pytest.fixture(autouse=True)
def no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing a peer does is an error of the server."""
    yield
    for phase in ("setup", "call"):
        records = caplog.get_records(phase)
        assert [record.getMessage() for record in records if record.levelno >= logging.ERROR] == []
