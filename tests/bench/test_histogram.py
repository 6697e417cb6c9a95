"""The swarm's percentiles are those of the values, within the width of a bucket, and survive a sample."""

from __future__ import annotations

import random

import pytest

from fastchat.bench import histogram

_swarm = pytest.importorskip("fastchat.bench._swarm")

SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
SAMPLES = {
    "uniform, 0.5 to 3.5 ms": [random.Random(1).randrange(500_000, 3_500_000) for _ in range(20_000)],
    "over all sizes": [int(10 ** random.Random(i).uniform(0, 12)) for i in range(20_000)],
    "small": list(range(300)),
    "powers of two and their neighbours": [2**i + j for i in range(64) for j in (-1, 0, 1)][:-1],
    "one": [123_456_789],
}


def filled(values: list[int]) -> _swarm.Histogram:
    found = _swarm.Histogram()
    for value in values:
        found.record(value)
    return found


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_percentiles_are_at_most_a_bucket_too_high(values: list[int]) -> None:
    ordered = sorted(values)
    made = filled(values)
    sparse = made.sparse()
    assert histogram.count(sparse) == len(values)
    for share in SHARES:
        right = ordered[min(int(share * len(ordered)), len(ordered) - 1)]
        assert right <= made.percentile(share) <= right * 1.008, share
        assert right <= histogram.percentile(sparse, share) <= right * 1.008, share


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_a_bucket_holds_what_it_says(values: list[int]) -> None:
    for value in values[:500]:
        ((lowest, many),) = filled([value]).sparse()
        assert many == 1 and lowest <= value <= histogram.highest(lowest)


def test_the_summary_is_in_microseconds() -> None:
    summary = filled([1_000, 2_000, 3_000]).summary()
    assert (summary["count"], summary["mean"], summary["max"]) == (3, 2.0, 3.0)
    assert summary["p50"] == pytest.approx(2.0, rel=0.01)


def test_repeat_records_one_by_one() -> None:
    made = _swarm.Histogram()
    made.repeat(1000, 10)
    assert made.summary()["count"] == 10


def test_nothing_recorded() -> None:
    empty = _swarm.Histogram()
    assert empty.percentile(0.99) == histogram.percentile(empty.sparse(), 0.99) == 0
    assert empty.summary()["count"] == histogram.mean([]) == 0
    assert list(histogram.cumulative([])) == []


def test_merged_histograms_are_that_of_all_values() -> None:
    first, second = SAMPLES["small"], SAMPLES["one"]
    merged = histogram.merged([filled(first).sparse(), filled(second).sparse()])
    assert merged == filled(first + second).sparse()


def test_the_mean_and_the_distribution() -> None:
    values = SAMPLES["uniform, 0.5 to 3.5 ms"]
    sparse = filled(values).sparse()
    assert histogram.mean(sparse) == pytest.approx(sum(values) / len(values), rel=0.005)
    points = list(histogram.cumulative(sparse))
    assert points == sorted(points) and points[-1][1] == 1.0
