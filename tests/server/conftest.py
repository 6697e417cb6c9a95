"""Servers for tests: made of compiled or of pure parts."""

from __future__ import annotations

import pytest

from tests.server.parts import Parts, both, install


@pytest.fixture(params=both())
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Whatever server the test starts is made of compiled parts, then of pure ones."""
    chosen: Parts = request.param
    install(chosen, monkeypatch)
    return chosen
