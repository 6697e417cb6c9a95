"""What may be typed after a slash: a table, and the parser that reads a line by it.

Invariant: `USAGE` of a row is both what /help shows and what the parser goes by, so they cannot differ.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
COLUMN = 25  # where /help begins to explain
MOST_SECONDS = 10 * 365 * UNITS["d"]


class SlashError(Exception):
    """What was typed cannot be understood; the text says how to write it."""


class Slash(NamedTuple):
    """One command: a NAME, TIME, #N, EMOJI, NUMBER or, to the end of the line, TEXT; [optional]."""

    word: str
    usage: str
    help: str
    example: str = ""


TALKING = (
    Slash("who", "", "who is here"),
    Slash("me", "TEXT", "say what you do", "/me waves"),
    Slash("msg", "NAME TEXT", "say it to one user alone", "/msg bob are you coming?"),
    Slash("reply", "[#N] TEXT", "answer message #N, or the last one of others", "/reply #12 I agree"),
    Slash("edit", "[#N] TEXT", "change your message #N, or your last one", "/edit Hello everybody"),
    Slash("delete", "[#N]", "take back your message #N, or your last one", "/delete #12"),
    Slash("react", "EMOJI [#N]", "react to message #N, or the last one of others", "/react 👍 #12"),
    Slash("unreact", "EMOJI [#N]", "take a reaction back", "/unreact 👍 #12"),
    Slash("history", "[NUMBER]", "show the last 20, or so many", "/history 50"),
    Slash("away", "[TEXT]", "show others that you are away", "/away at lunch"),
    Slash("back", "", "show that you are back"),
    Slash("block", "NAME", "hear no more of somebody"),
    Slash("unblock", "NAME", "hear them again"),
    Slash("ping", "", "measure a round trip to the server"),
    Slash("help", "[TEXT]", "this list, or one command; /help moderating", "/help ban"),
    Slash("quit", "", "leave (so do Ctrl-D and Ctrl-C)"),
)

MODERATING = (
    Slash("kick", "NAME [TEXT]", "turn somebody out; TEXT says why", "/kick bob that is enough"),
    Slash("ban", "NAME [TIME] [TEXT]", "turn somebody out for a time, or for good", "/ban bob 2h spam"),
    Slash("unban", "NAME", "let them in again"),
    Slash("mute", "NAME [TIME] [TEXT]", "let somebody read only", "/mute bob 5m cool down"),
    Slash("unmute", "NAME", "let them speak again"),
    Slash("slow", "TIME", "one message per member in that time; 0 ends it", "/slow 10s"),
    Slash("lock", "", "let only moderators speak, and nobody else join"),
    Slash("unlock", "", "let everybody speak and join again"),
    Slash("cap", "NUMBER", "at most so many members; 0 ends it", "/cap 50"),
    Slash("op", "NAME", "make somebody a moderator of the room"),
    Slash("deop", "NAME", "make them a member again"),
)

COMMANDS: Mapping[str, Slash] = {slash.word: slash for slash in (*TALKING, *MODERATING)}


def parse(line: str) -> tuple[Slash, dict[str, Any]]:
    """Read what stands after the slash; arguments by their name in the usage, None for what was left out.

    Raises SlashError.
    """
    word, _, rest = line.partition(" ")
    slash = COMMANDS.get(word.casefold())
    if slash is None:
        near = difflib.get_close_matches(word.casefold(), COMMANDS, 1)
        raise SlashError(f"there is no /{word}; {f'/{near[0]}?' if near else '/help lists what there is'}")
    given: dict[str, Any] = {}
    rest = rest.strip()
    for name in slash.usage.split():
        value, rest = READERS[name.strip("[]")](rest)
        if value is None and not name.startswith("["):
            raise wrong(slash)
        given[name.strip("[]")] = value
    if rest:
        raise wrong(slash)
    return slash, given


def wrong(slash: Slash) -> SlashError:
    """How it should have been written."""
    example = f", for example {slash.example}" if slash.example else ""
    return SlashError(f"write {f'/{slash.word} {slash.usage}'.strip()}{example}")


def _text(rest: str) -> tuple[str | None, str]:
    return rest or None, ""


def _word(rest: str) -> tuple[str | None, str]:
    word, _, others = rest.partition(" ")
    return word or None, others.strip()


def _name(rest: str) -> tuple[str | None, str]:
    """A name with spaces stands in double quotes."""
    quoted = re.match(r'"([^"]+)"(?:\s+|$)', rest)
    return (quoted[1], rest[quoted.end() :]) if quoted else _word(rest)


def _message(rest: str) -> tuple[int | None, str]:
    """#12 is message 12; -2 is the last but one (a negative number here, too)."""
    found = re.match(r"(?:#(\d{1,15})|(-[1-9]\d{0,3}))(?:\s+|$)", rest)
    if found is None:
        return None, rest
    return int(found[1] or found[2]), rest[found.end() :]


def _number(rest: str) -> tuple[int | None, str]:
    found = re.match(r"(\d{1,6})(?:\s+|$)", rest)
    return (int(found[1]), rest[found.end() :]) if found else (None, rest)


def _time(rest: str) -> tuple[int | None, str]:
    """Seconds. A bare number might be the beginning of a reason: only 0 goes without its unit."""
    found = re.match(r"(\d{1,9})([smhdw]?)(?:\s+|$)", rest)
    if found is None:
        return None, rest
    if not found[2] and int(found[1]):
        raise SlashError(f"write a time with its unit: {found[1]}s, 5m, 2h, 7d or 4w")
    return min(int(found[1]) * UNITS.get(found[2], 1), MOST_SECONDS), rest[found.end() :]


READERS = {
    "TEXT": _text,
    "NAME": _name,
    "EMOJI": _word,
    "#N": _message,
    "NUMBER": _number,
    "TIME": _time,
}


def manual(word: str | None = None) -> list[str]:
    """What /help shows; raises SlashError for a word that is none."""
    if word is None:
        return [
            "What you type is said. Messages have numbers (#12); without one, the last is meant.",
            *map(_row, TALKING),
            f"  {'//TEXT':<{COLUMN}} say something that begins with a slash",
            f"For moderators: {' '.join('/' + slash.word for slash in MODERATING)}",
        ]
    word = word.strip().removeprefix("/").casefold()
    if word == "moderating":
        return [
            *map(_row, MODERATING),
            "A TIME is 90s, 5m, 2h, 7d; without it, for good.",
            'A name with spaces stands in quotes: /kick "bob the builder"',
        ]
    slash = COMMANDS.get(word)
    if slash is None:
        raise SlashError(f"there is no /{word}; /help lists what there is")
    example = f"; for example: {slash.example}" if slash.example else ""
    return [_row(slash) + example]


def _row(slash: Slash) -> str:
    return f"  {f'/{slash.word} {slash.usage}'.strip():<{COLUMN}} {slash.help}"
