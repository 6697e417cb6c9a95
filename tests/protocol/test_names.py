"""Names: what is allowed, what is the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.names import MAX_EMOJI, emoji_name, fold, room_name, user_name

GOOD_ROOMS = ["a", "lobby", "Game:7/level.1_x-Y", "r" * 64, ":", "0"]
BAD_ROOMS = ["", "r" * 65, "a b", "a\n", "café", "ａ", "a\0", "a?b", "\u202ea", "a,b", "#a"]
GOOD_USERS = ["a", "ada", "Ada Lovelace", "Zoë", "李雷", "محمد", "u" * 32, "😀", "x-1_2.3", "e\u0301" * 32]
BAD_USERS = {
    "empty": "",
    "33 code points": "u" * 33,
    "too long only after NFKC": "\ufdfa" * 2,
    "blank": " ",
    "space first": " ada",
    "space last": "ada ",
    "space that NFKC makes": "ada\u00a0",
    "newline": "a\nb",
    "NUL": "a\0b",
    "escape": "\x1b[31mada",
    "C1 control": "a\x85b",
    "right-to-left override": "a\u202eb",
    "isolate": "a\u2066b",
    "left-to-right mark": "a\u200eb",
    "zero width space": "a\u200bb",
    "zero width joiner": "a\u200db",
    "byte order mark": "\ufeffada",
    "soft hyphen": "a\u00adb",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "private use": "a\ue000",
    "surrogate": "a\ud800",
    "tag characters": "a\U000e0041",
    "16 KiB": "u" * 16384,
    "combining marks without end": "e" + "\u0301\u0323" * 8000,
}


@pytest.mark.parametrize("name", GOOD_ROOMS)
def test_rooms(name: str) -> None:
    assert room_name(name) == name


@pytest.mark.parametrize("name", BAD_ROOMS)
def test_rooms_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        room_name(name)
    assert (refused.value.code, refused.value.field) == (Code.BAD_ARGUMENT, "room")


@pytest.mark.parametrize("name", GOOD_USERS)
def test_users(name: str) -> None:
    assert user_name(name) == unicodedata.normalize("NFKC", name)


@pytest.mark.parametrize("name", BAD_USERS.values(), ids=list(BAD_USERS))
def test_users_refused(name: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        user_name(name, field="name")
    assert (refused.value.code, refused.value.field) == (Code.BAD_ARGUMENT, "name")


def test_users_are_normalised() -> None:
    assert user_name("ｆａｓｔ") == "fast"
    assert user_name("ﬁn") == "fin"
    assert user_name("Zoe\u0308") == "Zoë"


SAME = [("Ada", "ADA"), ("straße", "STRASSE"), ("Zoë", "zoe\u0308"), ("ΣΑΣ", "σας"), ("ﬁn", "FIN")]


@pytest.mark.parametrize("one,other", SAME)
def test_the_same_name(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_different_names() -> None:
    assert len({fold(name) for name in ("ada", "adA1", "Zoe", "Zoë", "a b", "ab")}) == 6


@given(st.text(min_size=1, max_size=40))
def test_what_passes_stays_and_folds_to_itself(name: str) -> None:
    try:
        good = user_name(name)
    except ProtocolError as error:
        assert error.code is Code.BAD_ARGUMENT
        return
    assert user_name(good) == good
    assert fold(good) == fold(name) == fold(fold(good))


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
SCOTLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"


@pytest.mark.parametrize("emoji", ["+1", ":tada:", "\u2764\ufe0f", FAMILY, SCOTLAND, "x" * 32])
def test_reactions(emoji: str) -> None:
    assert emoji_name(emoji) == emoji
    assert len(emoji.encode()) <= MAX_EMOJI


def test_reactions_are_normalised() -> None:
    assert emoji_name("e\u0301") == "\u00e9"


@pytest.mark.parametrize(
    "emoji",
    ["", "x" * 33, "\u00e9" * 17, "a b", "\u00a0", "\n", "\x7f", "\u202e", "\u200b", "\ue000", "\u2028"],
)
def test_reactions_refused(emoji: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        emoji_name(emoji)
    assert (refused.value.code, refused.value.field) == (Code.BAD_ARGUMENT, "emoji")
