"""What peers say, made harmless."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.cli.text import CONTINUED, LONGEST, UNSAFE, body, json_line, media, paragraph, plain, safe

JOINERS = "\u200c\u200d"
ANY_TEXT = st.text(alphabet=st.characters(), max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT | st.integers(), inner, max_size=4),
    max_leaves=12,
)


def harmful(text: str) -> list[str]:
    return [char for char in text if unicodedata.category(char) in UNSAFE and char not in JOINERS]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello 你好 \u3000 é 👩\u200d💻", "hello 你好 \u3000 é 👩\u200d💻"),
        ("\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"),
        ("a\rb\nc\td\0", "a␍b␊c␉d␀"),
        ("\x7f\x9b31m", "␡\\u009b31m"),
        ("user\u202eresu", "user\\u202eresu"),
        ("\u2028\u2029\u2066\ufeff", "\\u2028\\u2029\\u2066\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ue000", "\\ue000"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(ANY_TEXT)
def test_nothing_harmful_is_left(text: str) -> None:
    assert harmful(safe(text)) == []
    assert harmful(paragraph(text).replace(CONTINUED, "")) == []


@given(VALUES)
def test_whatever_is_said_is_harmless_and_json_can_be_read_back(data: Any) -> None:
    assert harmful(body(data).replace(CONTINUED, "")) == []
    text = json_line(data)
    assert harmful(text) == []
    assert json.loads(text) == plain(data)


def test_lines_of_one_message_cannot_pass_for_another() -> None:
    assert body("one\nada: two\r\nthree\rfour").split("\n") == [
        "one",
        "      │ ada: two",
        "      │ three",
        "      │ four",
    ]


@given(ANY_TEXT)
def test_every_further_line_is_marked(text: str) -> None:
    first, *rest = body(text).split("\n")
    assert all(line.startswith(CONTINUED.lstrip("\n")) for line in rest)


def test_long_messages_are_cut() -> None:
    assert len(body("x" * (LONGEST + 5))) == LONGEST + 4
    assert len(body(["x" * (LONGEST + 5)])) == LONGEST + 4


def test_bytes_and_what_json_cannot_say() -> None:
    assert json_line({"a": b"\x00\xff", 1: (2,)}) == '{"a":{"$bin":"AP8="},"1":[2]}'
    assert json_line([float("nan"), float("inf"), 1.5]) == '["nan","inf",1.5]'


def test_media_are_a_line() -> None:
    picture = {"type": "image", "name": "c\x1bat.png", "size": 20_480, "url": "https://x/1"}
    assert body(picture) == "[image c␛at.png 20 KiB https://x/1]"
    assert media({"type": "file", "size": 5}) == "[file 5 bytes]"
    assert body({"type": "move", "to": "e4"}) == '{"type":"move","to":"e4"}'
