"""Patterns of rooms' names: against fnmatch, and none is slow."""

from __future__ import annotations

from fnmatch import fnmatchcase
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.identity.patterns import PATTERN, among, matches


@pytest.mark.parametrize(
    "pattern, room, found",
    [("lobby", "lobby", True), ("lobby", "Lobby", False), ("*", "a", True), ("team:*", "team:", True),
     ("team:*", "team:red", True), ("team:*", "teams", False), ("*:red", "team:red", True),
     ("a*a", "a", False), ("a*a", "aa", True), ("a*b*c", "aXbYc", True), ("a*b*b", "ab", False),
     ("**", "x", True), ("a.c", "abc", False), ("", "a", False)],
)  # fmt: skip
def test_which_rooms_a_pattern_stands_for(pattern: str, room: str, found: bool) -> None:
    assert matches(pattern, room) is found


@given(st.text("ab:*", max_size=8), st.text("ab:", max_size=8))
def test_as_others_do_it(pattern: str, room: str) -> None:
    assert matches(pattern, room) is fnmatchcase(room, pattern)


@pytest.mark.parametrize("pattern", ["a?", "[a]", "a b", "", "x" * 65, "\u00e9"])
def test_what_is_no_pattern(pattern: str) -> None:
    assert PATTERN.fullmatch(pattern) is None


def test_no_pattern_is_slow() -> None:
    begun = perf_counter()
    for _ in range(1000):
        assert not matches("a*" * 31 + "b", "a" * 64)
    assert perf_counter() - begun < 1


def test_no_patterns_at_all() -> None:
    assert among(None, "a") and not among((), "a") and among(("b", "a"), "a")
