"""The line editor, key by key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.cli.editor import LONGEST, REMEMBERED, Editor, width

UP, DOWN, RIGHT, LEFT, HOME, END, DELETE = (
    "\x1b[A",
    "\x1b[B",
    "\x1b[C",
    "\x1b[D",
    "\x1b[H",
    "\x1b[F",
    "\x1b[3~",
)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("hello", "hello"),
        ("helo" + LEFT + "l", "hello"),
        ("ello" + HOME + "h" + END + "!", "hello!"),
        ("ello\x01h\x05!", "hello!"),
        ("hexllo" + LEFT * 3 + "\x7f", "hello"),
        ("hexllo" + LEFT * 4 + DELETE, "hello"),
        ("hexllo" + LEFT * 4 + "\x04", "hello"),
        ("one two  \x17", "one "),
        ("one two\x15x", "x"),
        ("one two\x02\x02\x0b", "one t"),
        (LEFT + "\x7f" + DELETE + RIGHT + "a", "a"),
        ("a" + "\x1bOD" + "b" + "\x1bOC" + "c", "bac"),
        ("a\x1b[1;5Cb\x1b[200~c\x1bxd\x1b[Ze", "abcde"),
        ("a\tb\x00\x1ac\x9bd", "abcd"),
        ("你好" + LEFT + "们", "你们好"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_editing(keys: str, text: str) -> None:
    editor = Editor()
    assert editor.feed(keys) == [] and editor.text == text


@given(st.text(alphabet="ab\x1b[OACD~13;\x7f\x01\r", max_size=40))
def test_keys_cut_anywhere_mean_the_same(keys: str) -> None:
    whole, pieces = Editor(), Editor()
    lines = whole.feed(keys)
    assert [line for key in keys for line in pieces.feed(key)] == lines
    assert pieces.text == whole.text and pieces.view(20) == whole.view(20)


def test_enter_gives_lines() -> None:
    editor = Editor()
    assert editor.feed("one\rtwo\n\rthree") == ["one", "two", ""]
    assert editor.text == "three"


def test_what_was_said_comes_back() -> None:
    editor = Editor()
    editor.feed("one\rtwo\rtwo\r  \rhalf")
    seen = []
    for key in (UP, UP, UP, DOWN, DOWN, DOWN):
        editor.feed(key)
        seen.append(editor.text)
    assert seen == ["two", "one", "one", "two", "half", "half"]
    assert editor.feed(UP + "!\r") == ["two!"]
    editor.feed(UP)
    assert editor.text == "two!"


def test_memory_is_bounded() -> None:
    editor = Editor()
    for number in range(REMEMBERED + 50):
        editor.feed(f"{number}\r")
    editor.feed(UP * (REMEMBERED + 50))
    assert editor.text == "50"
    editor.feed("\x15" + "x" * (LONGEST + 10))
    assert len(editor.text) == LONGEST


def test_control_d_ends_only_an_empty_line() -> None:
    editor = Editor()
    editor.feed("a" + LEFT + "\x04")
    assert editor.text == "" and not editor.ended
    editor.feed("\x04")
    assert editor.ended


@given(
    st.text(alphabet=st.sampled_from("ab你 e\u0301👩"), max_size=60),
    st.integers(0, 60),
    st.integers(8, 30),
)
def test_the_view_fits_and_holds_the_cursor(text: str, back: int, columns: int) -> None:
    editor = Editor()
    editor.feed(text + LEFT * back)
    shown, column = editor.view(columns)
    assert sum(map(width, shown)) < columns and shown in text
    assert 0 <= column <= sum(map(width, shown)) + 1 and column < columns
