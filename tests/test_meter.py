"""What is counted of each flush, and how: iterations from the first put, buckets, percentiles."""

from __future__ import annotations

import pytest

from fastchat.broadcast import Stats
from fastchat.meter import MOST, SLOTS, Meter, Recent, middle, percentile, slot


def told(meter: Meter, first: float, ended: float, seconds: float, sends: int = 1, frames: int = 1) -> float:
    """Let it count a flush of so many sends; returns the length of the iteration."""
    before = meter.round_seconds
    sent, delivered = meter.sends + sends, meter.deliveries + frames
    meter.flushed(first, ended, seconds, meter.messages + 1, sent, delivered)
    return meter.round_seconds - before


def test_an_iteration_lasts_from_the_first_put_to_the_end_of_the_flush() -> None:
    meter = Meter()
    assert told(meter, first=10.0, ended=10.5, seconds=0.2) == pytest.approx(0.5)
    assert (meter.rounds, meter.flush_seconds) == (1, pytest.approx(0.2))


def test_what_was_put_during_a_flush_begins_with_its_end() -> None:
    """Else iterations of a busy server would overlap, and look twice as long as they are."""
    meter = Meter()
    told(meter, first=10.0, ended=10.5, seconds=0.4)
    assert told(meter, first=10.2, ended=10.9, seconds=0.4) == pytest.approx(0.4)


def test_the_tick_of_a_room_counts_as_its_flush_alone() -> None:
    assert told(Meter(), first=-1.0, ended=10.5, seconds=0.01) == pytest.approx(0.01)


def test_a_flush_that_sent_nothing_is_none() -> None:
    meter = Meter()
    told(meter, first=10.0, ended=10.5, seconds=0.1, sends=0, frames=0)
    assert (meter.rounds, meter.round_seconds, sum(meter.lengths)) == (0, 0.0, 0)


def test_flushes_are_counted_by_their_size() -> None:
    meter = Meter()
    told(meter, 10.0, 10.001, 0.001, sends=10, frames=70)
    told(meter, 11.0, 11.001, 0.001, sends=1000, frames=1000)
    assert (meter.flush_sends[10], meter.flush_sends[slot(1000)]) == (1, 1)
    assert (meter.flush_frames[7], meter.flush_frames[1]) == (1, 1)
    assert meter.lengths[slot(1000)] == 2  # us


def test_totals_hold_what_everybody_counted() -> None:
    meter = Meter()
    told(meter, 10.0, 10.5, 0.25)
    stats = Stats(**{name: place for place, name in enumerate(Stats._fields)})
    totals = meter.totals(11.0, 0.75, stats, publishes=9, refused=2, sessions=3, opened=5)
    assert totals.sends == stats.sends + stats.writes
    assert totals._replace(sends=0) == (
        (11.0, 0.75, 1, 0.5, 0.25, 9, 2, stats.messages, 0, stats.deliveries, stats.bytes, 3, 5, (1, 1, 1, 1))
    )


def test_buckets_are_at_most_an_eighth_wide_and_leave_no_gap() -> None:
    values = [*range(5000), *(1 << shift for shift in range(13, 26)), MOST]
    slots = [slot(value) for value in values]
    assert slots == sorted(slots)
    assert set(slots[:5000]) == set(range(slot(4999) + 1))
    for value, index in zip(values, slots, strict=True):
        assert abs(middle(index) - value) <= value / 16


@pytest.mark.parametrize("value", [MOST, MOST + 1, 10**12])
def test_what_is_longer_than_anything_is_in_the_last_bucket(value: int) -> None:
    assert slot(value) == SLOTS - 1


def test_a_clock_that_jumped_back_does_no_harm() -> None:
    assert slot(-5) == 0


def test_percentiles() -> None:
    counts = [0] * SLOTS
    assert percentile(counts, 0.5) == 0.0
    counts[3], counts[5], counts[9] = 50, 49, 1
    assert [percentile(counts, share) for share in (0.5, 0.51, 0.99, 1.0)] == [3.0, 5.0, 5.0, 9.0]


def test_recent_forgets_after_two_spans() -> None:
    counts = [0] * SLOTS
    recent = Recent(counts, span=5.0)
    recent.turn(100.0)
    counts[2] += 10
    recent.turn(104.0)
    assert recent.percentile(0.5) == 2.0
    recent.turn(105.0)
    counts[7] += 1
    assert recent.percentile(0.5) == 2.0
    recent.turn(110.0)
    assert recent.percentile(0.5) == 7.0
    recent.turn(115.0)
    assert recent.percentile(0.5) == 0.0
