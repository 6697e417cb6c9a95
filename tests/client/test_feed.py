"""One room's order: what comes out is ascending, and nothing is passed over in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.client import feed as module
from fastchat.client.events import Change, Gap, Lost, Message, Presence
from fastchat.client.feed import FILL, HELD_ITEMS, Feed
from fastchat.errors import ProtocolError
from tests.client.scripted import shapes


def row(offset: int, **opts: Any) -> list[Any]:
    return [offset, offset * 1000, "bob", f"m{offset}", opts]


def body(offset: int, *offsets: int, epoch: str = "e1", **more: Any) -> Mapping[str, Any]:
    return {"epoch": epoch, "offset": offset, "messages": [row(one) for one in offsets], "members": 1} | more


def said(offset: int) -> Message:
    return Message("lobby", offset, offset * 1000, "bob", f"m{offset}", {})


def live(feed: Feed, *offsets: int) -> None:
    for offset in offsets:
        feed.offer(offset, offset, said(offset), 10)


def out(feed: Feed) -> list[Any]:
    return shapes([event for event, _ in feed.take()])


def at(offset: int, **given: Any) -> Feed:
    feed = Feed("lobby", **given)
    feed.joined(body(offset), 10)
    assert out(feed) == []
    return feed


def test_a_fresh_join_begins_behind_what_was_said() -> None:
    feed = at(5)
    assert feed.where() == ("e1", 5) and feed.missing() is None
    live(feed, 6, 7)
    assert out(feed) == [6, 7]


def test_history_comes_first() -> None:
    feed = Feed("lobby", history=3)
    feed.joined(body(5, 3, 4, 5), 30)
    assert out(feed) == [3, 4, 5] and feed.position == 5


def test_history_that_was_cut_is_asked_for() -> None:
    feed = Feed("lobby", history=5)
    feed.joined(body(5, 1, 2, more=True), 30)
    assert out(feed) == [1, 2] and feed.missing() == (2, 3)


def test_history_whose_oldest_part_was_cut_needs_nothing() -> None:
    feed = Feed("lobby", history=5)
    feed.joined(body(5, 4, 5, more=True), 30)
    assert out(feed) == [4, 5] and feed.missing() is None


def test_duplicates_are_dropped() -> None:
    feed = at(5)
    live(feed, 6, 6, 5, 1, 7, 6)
    assert out(feed) == [6, 7]


def test_a_hole_is_asked_for_once_and_what_is_behind_it_waits() -> None:
    feed = at(5)
    live(feed, 8, 9, 12)
    assert out(feed) == [] and feed.missing() == (5, 2)
    feed.asking = True
    assert feed.missing() is None
    feed.filled(body(12, 6, 7), 20)
    assert out(feed) == [6, 7, 8, 9] and feed.missing() == (9, 2)
    feed.filled(body(12, 10, 11), 20)
    assert out(feed) == [10, 11, 12] and feed.missing() is None


def test_a_hole_that_fills_itself_needs_no_history() -> None:
    feed = at(5)
    live(feed, 7, 6)
    assert out(feed) == [6, 7] and feed.missing() is None


def test_what_history_no_longer_has_is_a_gap() -> None:
    feed = at(5)
    live(feed, 10)
    feed.filled(body(10, 8, 9), 20)
    assert out(feed) == [(6, 7, "expired"), 8, 9, 10]


def test_an_empty_history_gives_the_hole_up() -> None:
    feed = at(5)
    live(feed, 8, 12)
    feed.asking = True
    feed.filled(body(12), 20)
    assert out(feed) == [(6, 7, "expired"), 8] and feed.missing() == (8, 3)


def test_history_that_brings_what_is_held_doubles_nothing() -> None:
    feed = at(5)
    live(feed, 7, 9)
    feed.filled(body(9, 6, 7, 8, 9), 20)
    assert out(feed) == [6, 7, 8, 9]


def test_history_that_lacks_what_is_held_skips_only_the_rest() -> None:
    feed = at(5)
    live(feed, 7)
    feed.filled(body(9, 9), 20)
    assert out(feed) == [(6, 6, "expired"), 7, (8, 8, "expired"), 9]


def test_long_holes_are_filled_in_steps() -> None:
    feed = at(0)
    live(feed, 1000)
    assert feed.missing() == (0, FILL)


def test_a_gap_in_order_is_told_and_passed() -> None:
    feed = at(5)
    feed.offer(6, 8, Gap("lobby", 6, 8, "slow"), 10)
    live(feed, 9)
    assert out(feed) == [(6, 8, "slow"), 9]


def test_a_gap_over_what_is_known_tells_the_rest_only() -> None:
    feed = at(5)
    live(feed, 6)
    feed.offer(4, 8, Gap("lobby", 4, 8, "slow"), 10)
    feed.offer(7, 8, Gap("lobby", 7, 8, "slow"), 10)
    assert out(feed) == [6, (7, 8, "slow")]


def test_a_gap_beyond_a_hole_waits_like_a_message() -> None:
    feed = at(5)
    feed.offer(8, 9, Gap("lobby", 8, 9, "slow"), 10)
    assert out(feed) == [] and feed.missing() == (5, 2)
    live(feed, 6, 7)
    assert out(feed) == [6, 7, (8, 9, "slow")]


def test_an_offset_with_nothing_to_tell_is_passed_silently() -> None:
    feed = at(5)
    feed.offer(6, 6, None, 0)
    live(feed, 7)
    assert out(feed) == [7]


def test_tombstones_are_gaps_and_changes_have_their_place() -> None:
    feed = Feed("lobby", history=3)
    rows = [row(1, hidden=True), row(2, expired=True), [3, 3, "bob", None, {"change": "edit", "target": 1}]]
    feed.joined({"epoch": "e1", "offset": 3, "messages": rows, "members": 1}, 30)
    events = [event for event, _ in feed.take()]
    assert shapes(events[:2]) == [(1, 1, "hidden"), (2, 2, "expired")]
    assert events[2] == Change("lobby", 3, 3, "bob", "edit", 1, None)


def test_a_recovery_goes_on_exactly_where_it_stood() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(8, 6, 7, 8, recovered=True), 30)
    live(feed, 9)
    assert out(feed) == [6, 7, 8, 9]


def test_a_recovery_that_was_cut_goes_on_by_history() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(10, 6, 7, recovered=True, more=True), 30)
    assert feed.missing() == (7, 3)
    live(feed, 11)
    feed.filled(body(11, 8, 9, 10), 30)
    assert out(feed) == [6, 7, 8, 9, 10, 11]


def test_a_recovery_that_forgets_something_is_found_out() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(8, 6, recovered=True), 30)
    assert out(feed) == [6] and feed.missing() == (6, 2)


def test_what_cannot_be_recovered_is_told_with_its_number() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(20, 19, 20, recovered=False), 30)
    events = [event for event, _ in feed.take()]
    assert events[0] == Lost("lobby", ("e1", 5), ("e1", 20), 13)
    assert shapes(events[1:]) == [19, 20] and feed.position == 20


def test_a_new_epoch_begins_anew_even_with_lower_offsets() -> None:
    feed = at(500)
    feed.offline()
    feed.joined(body(3, 2, 3, epoch="e2", recovered=False), 30)
    live(feed, 4)
    events = [event for event, _ in feed.take()]
    assert events[0] == Lost("lobby", ("e1", 500), ("e2", 3), None)
    assert shapes(events[1:]) == [2, 3, 4] and feed.where() == ("e2", 4)


def test_a_new_epoch_is_a_loss_whatever_the_server_says() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(3, epoch="e2", recovered=True), 30)
    assert out(feed) == ["Lost"] and feed.where() == ("e2", 3)


def test_a_server_behind_us_in_the_same_epoch_is_believed() -> None:
    feed = at(500)
    feed.offline()
    feed.joined(body(3, recovered=False), 30)
    live(feed, 4)
    assert out(feed) == ["Lost", 4]


def test_a_loss_that_overlaps_what_is_known_doubles_nothing() -> None:
    feed = at(5)
    feed.offline()
    feed.joined(body(7, 4, 5, 6, 7, recovered=False), 30)
    assert out(feed) == ["Lost", 6, 7]


def test_since_begins_where_the_caller_stood() -> None:
    feed = Feed("lobby", since=("e1", 5))
    assert feed.where() == ("e1", 5)
    feed.joined(body(7, 6, 7, recovered=True), 30)
    assert out(feed) == [6, 7]


def test_since_that_is_too_old_is_a_loss() -> None:
    feed = Feed("lobby", since=("e0", 5))
    feed.joined(body(7, recovered=False), 30)
    assert out(feed) == ["Lost"] and feed.where() == ("e1", 7)


def test_an_epoch_that_changes_under_a_history_is_a_loss() -> None:
    feed = at(5)
    live(feed, 8)
    feed.asking = True
    feed.filled(body(2, 1, 2, epoch="e2"), 20)
    assert out(feed) == ["Lost"] and feed.where() == ("e2", 2) and not feed.asking


def test_what_is_held_is_bounded_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 1000)
    feed = at(0)
    for offset in range(2, 100):
        feed.offer(offset, offset, said(offset), 100)
    feed.filled(body(99, 1), 10)
    assert out(feed) == list(range(1, 12)) and feed.missing() == (11, 88)


def test_held_items_are_bounded_too() -> None:
    feed = at(0)
    live(feed, *range(2, HELD_ITEMS + 50))
    feed.filled(body(99, 1), 10)
    assert len(out(feed)) == HELD_ITEMS + 1


def test_presence_of_a_join_is_a_snapshot_for_who_asked() -> None:
    rows = [["bob", None, 1], ["eve", {"typing": True}, 2]]
    feed = Feed("lobby", presence=True)
    feed.joined(body(0, presence=rows), 10)
    ((event, _),) = feed.take()
    assert isinstance(event, Presence) and event.snapshot and event.count == 1
    assert [one.user for one in event.joined] == ["bob", "eve"]
    indifferent = Feed("lobby")
    indifferent.joined(body(0, presence=rows), 10)
    assert out(indifferent) == []


def test_offline_forgets_what_was_asked_on_that_connection() -> None:
    feed = at(5)
    live(feed, 9)
    feed.asking, feed.retry_at = True, 7.0
    feed.offline()
    assert feed.missing() is None
    feed.joined(body(9, 6, 7, 8, 9, recovered=True), 30)
    assert out(feed) == [6, 7, 8, 9]


@pytest.mark.parametrize(
    "broken", [None, 7, [], [1], ["x", 1, "bob", 1, {}], [1, 1, 7, 1, {}], [1, 1, "b", 1, 3]]
)
def test_an_entry_of_the_wrong_shape_is_refused(broken: Any) -> None:
    feed = at(0)
    with pytest.raises((ProtocolError, TypeError, IndexError)):
        feed.filled({"epoch": "e1", "offset": 9, "messages": [broken]}, 10)


@given(st.data())
def test_whatever_comes_in_whatever_order_nothing_is_lost_or_doubled(data: st.DataObject) -> None:
    """A server that sends any part of the truth, again and out of order, and answers HISTORY."""
    newest = data.draw(st.integers(1, 40))
    kept = data.draw(st.integers(0, newest))  # older ones are no longer there
    feed = at(0)
    arrivals = data.draw(st.lists(st.integers(1, newest), max_size=80))
    told: list[Any] = []
    for offset in [*arrivals, newest]:
        live(feed, offset)
        while data.draw(st.booleans()) and feed.missing():
            answer(feed, newest, kept)
        told += out(feed)
    while feed.missing():
        answer(feed, newest, kept)
    told += out(feed)
    covered: list[int] = []
    for one in told:
        covered += range(one[0], one[1] + 1) if isinstance(one, tuple) else [one]
    assert covered == list(range(1, newest + 1))
    given_up = {offset for one in told if isinstance(one, tuple) for offset in range(one[0], one[1] + 1)}
    assert all(offset < kept for offset in given_up)


def answer(feed: Feed, newest: int, kept: int) -> None:
    missing = feed.missing()
    assert missing is not None
    after, limit = missing
    feed.asking = True
    offsets = [offset for offset in range(after + 1, newest + 1) if offset >= kept][:limit]
    feed.filled(body(newest, *offsets), 10)
