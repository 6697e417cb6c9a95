"""What a text looks like to its readers: the same words for all the ways to write them.

Everything that is not seen is left out, what looks alike is one character, and every word also stands as it
would without separators in it and without letters repeated. Each knows where in the original it stands.

Invariant: costs the length of the text, whatever is in it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from fastchat.identity.names import skeleton

UNSEEN = frozenset(("Mn", "Me", "Mc", "Cf", "Cc", "Cs", "Co"))  # marks, format and control characters
CHUNK = re.compile(r"\S+")
WORD = re.compile(r"(?:[^\W_]|[@$])(?:(?:[^\W_]|[@$!|])*(?:[^\W_]|[@$]))?")  # "!" is a letter between others
REPEATED = re.compile(r"(.)\1\1+")  # twice is how many words are spelt
LEET = str.maketrans("01345789@$!|l6", "oieastbgasiiig")  # what is read as a letter, and "l" as "i"
MAX_FORM = 4  # characters read for one: so no frame becomes many times as long (U+FDFA stands for 18)
LONGEST = 64  # letters: no word of a filter is longer, so no longer one is put together


_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class Token(NamedTuple):
    """One word: how it is read, and the piece of the original it is read from."""

    word: str
    start: int
    end: int


class Plain:
    """A text as it is read."""

    __slots__ = ("text", "_forms", "_ends")

    def __init__(self, original: str) -> None:
        forms = [_form(character) for character in original]
        self.text = "".join(forms)
        self._forms = None if len(self.text) == len(original) == sum(map(bool, forms)) else forms
        self._ends: list[int] = []  # in `text`, of what each character became, once somebody asks

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a piece of `text` that is not empty stands in the original."""
        if self._forms is None:
            return start, end
        ends = self._ends = self._ends or list(accumulate(map(len, self._forms)))
        return bisect_right(ends, start), bisect_right(ends, end - 1) + 1

    def tokens(self) -> tuple[list[Token], list[Token]]:
        """List the words in their order, and what else some of them can be read as."""
        words: list[Token] = []
        others: list[Token] = []
        text = self.text
        for chunk in CHUNK.finditer(text):
            parts = [_new(Token, (_read(one[0]), *one.span())) for one in WORD.finditer(text, *chunk.span())]
            words += parts
            if len(parts) > 1:  # only separators part them
                _join(parts, others)
        return words, [*others, *_calmed(words), *_calmed(others)]


def _join(tokens: list[Token], found: list[Token]) -> None:
    """Read several as one word; where that is too long, as some that overlap."""
    for start in range(0, len(tokens), LONGEST):
        some = tokens[start : start + 2 * LONGEST]
        found.append(Token(_read("".join([one[0] for one in some])), some[0].start, some[-1].end))
        if start + 2 * LONGEST >= len(tokens):
            return


def _calmed(tokens: list[Token]) -> list[Token]:
    """Read letters that are repeated as one, and as two."""
    return [
        Token(REPEATED.sub(to, token[0]), *token[1:])
        for token in tokens
        if len(token[0]) > 2 and REPEATED.search(token[0])
        for to in (r"\1", r"\1\1")
    ]


def _read(word: str) -> str:
    """Read digits and signs as letters where there are letters among them."""
    if word.isalpha():
        return word.replace("l", "i")
    return word.translate(LEET) if any(map(str.isalpha, word)) else word


@lru_cache(maxsize=4096)
def _form(character: str) -> str:
    """Return what is read for one character of a text; "" for what is not seen."""
    if character.isascii():
        return character.lower() if character.isprintable() or character.isspace() else ""
    found: list[str] = []
    for one in unicodedata.normalize("NFKD", character).casefold():
        found += [seen for seen in _shape(one) if unicodedata.category(seen) not in UNSEEN]
    return "".join(found[:MAX_FORM])


def _shape(small: str) -> str:
    """Return what a small letter looks like, or as a large one: so that case is nothing here, either."""
    if small.isascii():
        return small
    shapes = [skeleton(one).casefold() for one in (small, small.upper())]
    return next(filter(str.isascii, shapes), shapes[0])
