"""Look-alikes: the skeletons of UTS 39 and the keys that names are compared by."""

from __future__ import annotations

import unicodedata

import pytest

from fastchat.identity.names import ASCII, IGNORED, look_alikes, looks, skeleton
from fastchat.protocol.names import FORBIDDEN


def alike(one: str, other: str) -> bool:
    return bool(set(looks(one)) & set(looks(other)))


@pytest.mark.parametrize(
    "one, other",
    [
        ("ada", "аda"),  # Cyrillic a
        ("ada", "\uff21da"),
        ("paypal", "раураl"),
        ("lain", "Iain"),
        ("Iain", "iain"),
        ("Iain", "\u0456ain"),  # Cyrillic, as "Iain" is written in small letters
        ("bob1", "bobl"),
        ("bob1", "bobI"),
        ("bob|", "BOBl"),
        ("oscar", "0scar"),
        ("OSCAR", "0scar"),
        ("modem", "modern"),
        ("scope", "ѕсоре"),
        ("ada", "a\u034fda"),
        ("ada", "ada\ufe0f"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u039fleg", "Oleg"),  # Greek O
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert alike(one, other) and alike(other, one)


@pytest.mark.parametrize(
    "one, other",
    [("ada", "adam"), ("ada", "bob"), ("cafe", "caf\u00e9"), ("bob1", "bob2"), ("alice", "aIice "),
     ("\u5f20\u4f1f", "\u5f20\u4e3d"), ("guest-0000000a", "guest-0000000b")],
)  # fmt: skip
def test_names_that_do_not(one: str, other: str) -> None:
    assert not alike(one, other)


@pytest.mark.parametrize("name", ["\u115f", "\ufe0f", "\u034f\u180b"])
def test_a_name_of_which_nothing_is_to_be_seen_looks_like_nothing(name: str) -> None:
    assert looks(name) == ()


def test_most_names_look_like_their_own_key_only() -> None:
    assert looks("Ada") == ("ada",)
    assert looks("guest-2") == ("guest-2",)


def test_the_skeleton_is_that_of_the_standard() -> None:
    assert skeleton("\U0001d52d\U0001d4b6\u1eff\U0001d561\U0001d552\u2113") == "paypal"  # its own example
    assert skeleton("m") == skeleton("rn") == "rn"
    assert skeleton("\u05d0") == "\u05d0" and skeleton("\u2135") == "\u05d0"  # alef, written both ways


def test_ascii_has_the_part_of_the_table_that_is_its_own() -> None:
    assert ASCII == {code: look for code, look in look_alikes().items() if code < 128}
    everything = "".join(map(chr, range(128)))
    assert skeleton(everything) == skeleton(everything + "\u4e2d")[:-1]


def test_the_table_is_whole() -> None:
    table = look_alikes()
    assert len(table) > 6000
    for code, look in table.items():
        assert "\u200e" not in look
        if unicodedata.is_normalized("NFD", chr(code)):
            assert skeleton(chr(code)) == unicodedata.normalize("NFD", look)


def test_what_is_ignored_is_what_names_may_have_and_nobody_sees() -> None:
    for first, last in IGNORED:
        for code in (first, last):
            assert unicodedata.category(chr(code)) not in FORBIDDEN or code == 0x180E
            assert skeleton(f"a{chr(code)}b") == "ab"


def test_a_long_text_costs_its_length() -> None:
    assert len(skeleton("\u0430" * 100_000)) == 100_000
