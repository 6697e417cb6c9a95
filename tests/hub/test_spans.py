"""Spans of time in words."""

from __future__ import annotations

import pytest

from fastchat.hub.spans import span

SAID = {
    -5: "1 second", 1: "1 second", 1000: "1 second", 1001: "2 seconds", 45_000: "45 seconds",
    59_000: "1 minute", 90_000: "90 seconds", 119_500: "2 minutes", 540_000: "9 minutes",
    3_599_001: "1 hour", 5_400_000: "90 minutes", 7_199_000: "2 hours", 86_399_000: "1 day",
    100_000_000: "28 hours", 315_360_000_000: "3,650 days",
}  # fmt: skip


@pytest.mark.parametrize("ms, said", SAID.items())
def test_a_span_is_said_in_its_largest_unit(ms: int, said: str) -> None:
    assert span(ms) == said


def test_what_is_said_is_near_enough() -> None:
    sizes = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
    for seconds in [*range(1, 10_000), *range(10_000, 10_000_000, 997)]:
        count, unit = span(seconds * 1000).split()
        assert abs(int(count.replace(",", "")) * sizes[unit.rstrip("s")] - seconds) <= max(seconds / 50, 1)
