"""Messages by their number, and what changes make of them."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.cli.palette import Palette
from fastchat.cli.speech import duration, reactions, said
from fastchat.cli.transcript import MOST, Transcript
from fastchat.client import Change, Message


def message(offset: int, user: str = "ada", **opts: Any) -> Message:
    return Message("lobby", offset, offset * 1000, user, f"text {offset}", opts)


def change(kind: str, target: int, value: Any = None, user: str = "ada", ts: int = 99_000) -> Change:
    return Change("lobby", 99, ts, user, kind, target, value)


def transcript(*messages: Message) -> Transcript:
    one = Transcript()
    for each in messages:
        one.add(each)
    return one


def test_messages_are_found_from_the_end() -> None:
    one = transcript(message(1), message(2, "bob"), message(3, "Ada"), message(4, "bob"), message(0))
    assert [one.last("ADA", True, back) for back in (1, 2, 3)] == [3, 1, None]
    assert [one.last("ada", False, back) for back in (1, 2, 3)] == [4, 2, None]
    one.change(change("delete", 3))
    assert one.last("ada", True) == 1 and one.get(0) is None


def test_what_is_remembered_is_bounded() -> None:
    one = transcript(*(message(offset) for offset in range(1, MOST + 11)))
    assert one.get(10) is None and one.get(11) is not None


def test_an_edit_is_folded_once() -> None:
    one = transcript(message(1))
    assert one.change(change("edit", 1, "new"))
    assert one.get(1) == message(1)._replace(data="new", opts={"edited": 99_000})
    assert not one.change(change("edit", 1, "new"))
    assert not one.change(change("edit", 1, None, ts=100_000))  # of what was deleted since
    assert not transcript(message(1, edited=99_000)).change(change("edit", 1, "new"))


def test_a_deletion_leaves_nothing() -> None:
    one = transcript(message(1, edited=5, reactions={"x": ["bob"]}))
    assert one.change(change("delete", 1))
    assert one.get(1) == message(1)._replace(data=None, opts={"deleted": 99_000})
    for later in (change("delete", 1), change("edit", 1, "x"), change("react", 1, ["x", True])):
        assert not one.change(later)


def test_reactions_come_and_go() -> None:
    one = transcript(message(1))
    assert one.change(change("react", 1, ["👍", True])) and one.change(
        change("react", 1, ["👍", True], "bob")
    )
    assert not one.change(change("react", 1, ["👍", True]))
    assert one.get(1).opts == {"reactions": {"👍": ["ada", "bob"]}}  # type: ignore[union-attr]
    assert one.change(change("react", 1, ["👍", False])) and one.change(
        change("react", 1, ["👍", False], "bob")
    )
    assert not one.change(change("react", 1, ["👍", False]))
    assert one.get(1).opts == {"reactions": {}}  # type: ignore[union-attr]


def test_changes_of_what_was_never_shown_are_news() -> None:
    assert transcript().change(change("edit", 1, "x"))
    assert transcript(message(1)).change(change("later", 1, "x"))


@pytest.mark.parametrize(
    ("opts", "line"),
    [
        ({}, "#1 ada: text 1"),
        ({"edited": 5}, "#1 ada: text 1 (edited)"),
        ({"deleted": 5}, "#1 ada: (deleted)"),
        ({"reply_to": 7}, "#1 ada: (re #7) text 1"),
        ({"reply_to": "\x1b[2J"}, "#1 ada: (re #␛[2J) text 1"),
        ({"reactions": {"👍": ["ada", "x\x1by"]}}, "#1 ada: text 1 [👍 ada, x␛y]"),
        ({"reactions": 5}, "#1 ada: text 1 "),
    ],
)
def test_a_message_says_what_became_of_it(opts: dict[str, Any], line: str) -> None:
    assert said(message(1, **opts), Palette(False), numbered=True).endswith(line)


def test_many_reactions_are_counted() -> None:
    names = [f"u{number}" for number in range(8)]
    assert reactions({"👍": names}) == "[👍 u0, u1, u2, u3, u4 and 3 more]"


def test_unnumbered_as_tail_shows_it() -> None:
    assert "#" not in said(message(1), Palette(False))
    assert "#" not in said(message(0), Palette(False), numbered=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (90, "90 seconds"), (60, "1 minute"), (7200, "2 hours"), (604_800, "1 week")],
)
def test_times_in_words(seconds: int, words: str) -> None:
    assert duration(seconds) == words
