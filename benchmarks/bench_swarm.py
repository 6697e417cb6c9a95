"""Why the swarm has a histogram of its own: what recording one value costs.

Measured here: one value recorded from Python, in our buckets and in those of PyPI's `hdrhistogram` where it
is installed, and one value recorded by the swarm, in C and without the GIL, where a delivery is checked in
less than 100 nanoseconds and Python has no business.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

_swarm = pytest.importorskip("fastchat.bench._swarm")

VALUES = 1000
LOWEST, HIGHEST, DIGITS = 1, 600 * 10**9, 2  # nanoseconds up to 10 minutes; 2 digits are within 1 %
HDR = importlib.util.find_spec("hdrh") is not None


@pytest.mark.benchmark(group="record 1,000 values of nanoseconds")
def test_from_c_without_the_gil(benchmark: Any) -> None:
    made = _swarm.Histogram()
    benchmark(made.repeat, 1_000_000, VALUES)
    assert made.summary()["count"] >= VALUES


@pytest.mark.benchmark(group="record 1,000 values of nanoseconds")
def test_from_python(benchmark: Any) -> None:
    made = _swarm.Histogram()

    def fill() -> None:
        for i in range(VALUES):
            made.record(1_000_000 + i * 7919)

    benchmark(fill)
    assert made.summary()["count"] >= VALUES


@pytest.mark.skipif(not HDR, reason="hdrhistogram is not installed")
@pytest.mark.benchmark(group="record 1,000 values of nanoseconds")
def test_hdrhistogram(benchmark: Any) -> None:
    made = pytest.importorskip("hdrh.histogram").HdrHistogram(LOWEST, HIGHEST, DIGITS)

    def fill() -> None:
        for i in range(VALUES):
            made.record_value(1_000_000 + i * 7919)

    benchmark(fill)
    assert made.get_total_count() >= VALUES


@pytest.mark.benchmark(group="99th percentile")
def test_percentile(benchmark: Any) -> None:
    made = _swarm.Histogram()
    made.repeat(1_000_000, 100_000)
    assert benchmark(made.percentile, 0.99) > 1_000_000
