"""The word filter: what is found however it is written, what is not, and what a file may say."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import ConfigError
from fastchat.hub import wordfilter
from fastchat.hub.plaintext import Plain
from fastchat.hub.wordfilter import WordFilter, read_filter

FOUND = [
    "bad", "BAD", "Bad!", "so bad.", "(bad)", "bad,bad", "it's bad", "bad\nnews",
    "b.a.d", "b-a-d", "b_a_d", "b a d", "b  a\td", "I b a d", "b.a d", "ba.d", "b...a...d", "foo.b.a.d",
    "baaaad", "BBBAAADDD", "baaa.d",
    "b4d", "B@D", "8ad", "b@d!",
    "b\u200ba\u200bd", "b\u00ada\u00add", "\u202ebad\u202c", "b\ufe0fad", "ba\u0301d",
    "b\u0336a\u0336d\u0336",
    "bád", "bâd", "bäd", "ｂａｄ", "ＢＡＤ", "𝐛𝐚𝐝", "𝓫𝓪𝓭", "𝕭𝖆𝖉", "ⓑⓐⓓ", "🄱🄰🄳", "ᵇᵃᵈ",
    "bаd", "Ьаԁ", "bɑd", "b\U0001d44ed",
]  # fmt: skip
NOT_FOUND = ["", "badge", "abad", "forbad", "ba", "bd", "b a", "ad", "bead", "b a c d", "8 4", "84", "baads"]


@pytest.mark.parametrize("text", FOUND)
def test_a_word_is_found_however_it_is_written(text: str) -> None:
    assert read_filter("bad", "words").check(text).rejected


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_has_it_in_it_is_not_found(text: str) -> None:
    assert not read_filter("bad", "words").check(text).rejected


@pytest.mark.parametrize(
    "pattern, text, found",
    [
        ("bad*", "badly", True), ("bad*", "abad", False), ("*bad", "abad", True), ("*bad", "badly", False),
        ("*bad*", "forbadness", True), ("*bad*", "f.o.r.b.a.d.x", True), ("*bad*", "ba d", False),
        ("very bad", "very bad", True), ("very bad", "VERY... b4d", True), ("very bad", "bad very", False),
        ("very bad", "very very b-a-d", False), ("very bad", "verybad", False),
        ("bot", "boot", False), ("bot", "booooot", True), ("boot", "boooot", True), ("idiot", "1d10t", True),
        ("ass", "a$$", True), ("ass", "455", False), ("ass", "pass", False), ("ass", "as", False),
        ("1488", "1488", True), ("1488", "１４８８", True), ("1488", "1489", False), ("88", "b8", False),
        ("ворона", "ВОРОНА", True), ("ворона", "в о р о н а", True), ("straße", "STRASSE", True),
        ("re: colou?r", "COLOR", True), ("re: ^no$", "no", True), ("re: ^no$", "no no", False),
        ("re: [0-9]{4}", "１２３４", True), ("re: a.b", "á\u200bxb", True),
    ],
)  # fmt: skip
def test_what_a_pattern_finds(pattern: str, text: str, found: bool) -> None:
    assert read_filter(pattern, "words").check(text).rejected is found


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a damn thing", "a **** thing"),
        ("DÄMN", "****"),
        ("so d.a.m.n!", "so *******!"),
        ("d a m n it", "******* it"),
        ("da\u200bmn", "*****"),
        ("damn damn", "**** ****"),
        ("daaaamn you", "******* you"),
        ("ｄａｍｎ ﬁne", "**** ﬁne"),
        ("ﬁne damn ﬁne", "ﬁne **** ﬁne"),
        ("😀 damn 😀", "😀 **** 😀"),
        ("damned", "damned"),
    ],
)
def test_what_is_replaced_in_the_original(text: str, shown: str) -> None:
    assert read_filter("replace: damn", "words").check(text).text == shown


def test_effects_together() -> None:
    found = read_filter("# words\n\nbad\n  replace: damn \nflag: *spam*\nflag:re:call [0-9]+\n", "words")
    assert found.check("a damn good thing, no SPAM-mer") == (False, "a **** good thing, no SPAM-mer", "SPAM")
    assert found.check("call 1234") == (False, "call 1234", "call 1234")
    assert found.check("bad spam").rejected
    assert found.check("all is well") == (False, "all is well", "")
    assert read_filter("", "words").check("anything") == (False, "anything", "")


@pytest.mark.parametrize(
    "text, says",
    [
        ("bad\nb*d", "words, line 2: an asterisk"),
        ("replace:", "line 1: there is no word"),
        ("...", "line 1: there is no word"),
        ("*", "line 1: there is no word"),
        ("x" * 65, "line 1: a word has at most 64"),
        ("x " * 101, "line 1: longer than 200"),
        ("re: (", "line 1: missing"),
        ("re: (a)\\1", "line 1: invalid escape"),
        ("re: a*", "line 1: it matches where there is nothing"),
        ("re: ((a{100}){100}){100}", "line 1:"),
        ("re: (abcdefgh){900}", "line 1: it stands for too much"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("(", "\\(")):
        read_filter(text, "words")


@pytest.mark.parametrize("limit", ["MAX_PATTERNS", "MAX_LETTERS", "MAX_EXPRESSIONS"])
def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(wordfilter, limit, 2)
    line = "re: a" if limit == "MAX_EXPRESSIONS" else "a"
    read_filter(f"{line}\n{line}", "words")
    with pytest.raises(ConfigError, match="line 3: more than 2"):
        read_filter(f"{line}\n{line}\n{line}", "words")


TEXTS = st.text(st.sampled_from("bad BAD.-4@8\u200b\u0301áﬀß\U0001d41b!|\n") | st.characters(), max_size=60)


@given(TEXTS)
def test_any_text_has_its_length_and_loses_nothing_else(text: str) -> None:
    outcome = read_filter("replace: bad\nreplace: re: ff\nflag: *d*", "words").check(text)
    assert len(outcome.text) == len(text) and outcome.flagged in text
    assert all(new in (old, "*") for old, new in zip(text, outcome.text, strict=True))
    plain = Plain(text)
    for token in [*plain.tokens()[0], *plain.tokens()[1]]:
        start, end = plain.span(token.start, token.end)
        assert 0 <= start < end <= len(text)


@pytest.mark.parametrize("character", ["\ufdfa", "\ufdfb", "㈝", "㈞"])
def test_no_text_is_read_as_one_much_longer(character: str) -> None:
    text = character * 5400
    assert len(Plain(text).text) <= 4 * len(text) < 1.4 * len(text.encode())


@given(st.text(max_size=30))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        found = read_filter(line, "words")
    except ConfigError as error:
        assert str(error).startswith("words")
    else:
        assert isinstance(found, WordFilter)


@pytest.mark.parametrize("text", ["a.", "a ", "aaa.", "x", "é\u0301", "damn ", "d.a.m.n ", "ﬀ"])
def test_the_longest_frame_costs_its_length(text: str) -> None:
    found = read_filter("\n".join(["replace: damn", *(f"word{number}" for number in range(1000))]), "words")
    found.check("warm")
    took = []
    for size in (4_000, 16_000):
        long = (text * size)[:size]
        begun = time.process_time()
        found.check(long)
        took.append(time.process_time() - begun)
    assert took[1] < 12 * took[0] + 0.05
