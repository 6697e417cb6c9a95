"""What is typed after a slash: every row of the table, read and misread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.cli.deeds import Deeds
from fastchat.cli.slash import COMMANDS, MODERATING, MOST_SECONDS, READERS, SlashError, manual, parse


@pytest.mark.parametrize(
    ("line", "word", "given"),
    [
        ("who", "who", {}),
        ("WHO", "who", {}),
        ("me waves  twice ", "me", {"TEXT": "waves  twice"}),
        ("msg bob hi there", "msg", {"NAME": "bob", "TEXT": "hi there"}),
        ('msg "bob b" hi', "msg", {"NAME": "bob b", "TEXT": "hi"}),
        ('msg "bob hi', "msg", {"NAME": '"bob', "TEXT": "hi"}),
        ("edit hello", "edit", {"#N": None, "TEXT": "hello"}),
        ("edit #12 hello", "edit", {"#N": 12, "TEXT": "hello"}),
        ("edit -2 hello", "edit", {"#N": -2, "TEXT": "hello"}),
        ("edit 5 apples", "edit", {"#N": None, "TEXT": "5 apples"}),
        ("edit #12th of May", "edit", {"#N": None, "TEXT": "#12th of May"}),
        ("delete", "delete", {"#N": None}),
        ("delete #3", "delete", {"#N": 3}),
        ("react 👍", "react", {"EMOJI": "👍", "#N": None}),
        ("react 👍 #3", "react", {"EMOJI": "👍", "#N": 3}),
        ("history", "history", {"NUMBER": None}),
        ("history 50", "history", {"NUMBER": 50}),
        ("away", "away", {"TEXT": None}),
        ("kick bob", "kick", {"NAME": "bob", "TEXT": None}),
        ("kick bob that is enough", "kick", {"NAME": "bob", "TEXT": "that is enough"}),
        ("ban bob", "ban", {"NAME": "bob", "TIME": None, "TEXT": None}),
        ("ban bob 2h", "ban", {"NAME": "bob", "TIME": 7200, "TEXT": None}),
        ("ban bob spam", "ban", {"NAME": "bob", "TIME": None, "TEXT": "spam"}),
        ("ban bob 7d spam and more", "ban", {"NAME": "bob", "TIME": 604_800, "TEXT": "spam and more"}),
        ("ban bob 9999w", "ban", {"NAME": "bob", "TIME": MOST_SECONDS, "TEXT": None}),
        ("ban bob 3rd time", "ban", {"NAME": "bob", "TIME": None, "TEXT": "3rd time"}),
        ("slow 0", "slow", {"TIME": 0}),
        ("slow 10s", "slow", {"TIME": 10}),
    ],
)
def test_what_is_typed_is_read(line: str, word: str, given: dict[str, Any]) -> None:
    slash, found = parse(line)
    assert (slash.word, found) == (word, given)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "there is no /; /help"),
        ("kik bob", "there is no /kik; /kick?"),
        ("zzzzzz", "there is no /zzzzzz; /help lists"),
        ("kick", "write /kick NAME [TEXT], for example /kick bob"),
        ("msg bob", "write /msg NAME TEXT"),
        ("unban bob now", "write /unban NAME"),
        ("delete me", "write /delete [#N]"),
        ("who else", "write /who"),
        ("slow", "write /slow TIME"),
        ("slow 10", "unit: 10s"),
        ("mute bob 60 x", "unit: 60s"),
        ("history all", "write /history [NUMBER]"),
    ],
)
def test_what_cannot_be_read_is_explained(line: str, says: str) -> None:
    with pytest.raises(SlashError, match=says.replace("[", r"\[").replace("?", r"\?")):
        parse(line)


def test_the_table_is_whole() -> None:
    for slash in COMMANDS.values():
        assert all(name.strip("[]") in READERS for name in slash.usage.split()), slash
        if slash.example:
            assert parse(slash.example.removeprefix("/"))[0] is slash
    talking = {slash.word for slash in COMMANDS.values()} - {slash.word for slash in MODERATING}
    deeds = Deeds(None, "lobby", None, None)  # type: ignore[arg-type]
    assert set(deeds._deeds) == talking - {"quit"}


def test_the_manual_names_everything_within_a_screen() -> None:
    text = "\n".join(manual())
    assert all(f"/{word}" in text for word in COMMANDS)
    for page in (manual(), manual("moderating")):
        assert len(page) <= 22 and all(len(line) <= 84 for line in page)
    for word in COMMANDS:
        (line,) = manual(f"/{word}")
        assert COMMANDS[word].help in line and COMMANDS[word].example in line
    with pytest.raises(SlashError):
        manual("dance")


@given(st.text(max_size=60))
def test_anything_may_be_typed(line: str) -> None:
    for word in ("", "ban ", "edit ", "react ", "slow ", "history "):
        try:
            parse(word + line)
        except SlashError:
            pass
