"""What the laboratory's tests share."""

from __future__ import annotations

import pytest

from fastchat import capacity_latency

COARSE = 48  # points that a latency is summed over: a tenth of the time, and some per cent of error


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model look less closely, where a test asks it a thousand times."""
    monkeypatch.setattr(capacity_latency, "POINTS", COARSE)
