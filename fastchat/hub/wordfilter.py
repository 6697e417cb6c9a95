"""Words that are not to be said: a file of patterns, and what becomes of a text that has one of them.

All patterns of a kind are one expression of RE2, which takes time in proportion to the text, whatever either
of them is: neither a writer of patterns nor one of messages can stop the server with it.

Invariant: what is found is found in the text as it is read (`plaintext`), and replaced in the text as it was
written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate
from typing import Any, NamedTuple

import re2  # type: ignore[import-untyped]

from fastchat.errors import ConfigError
from fastchat.hub.plaintext import LONGEST, Plain, Token

MAX_PATTERNS = 10_000
MAX_PATTERN = 200  # characters
MAX_LETTERS = 200_000  # of all words together; from there on RE2 needs more than MAX_MEMORY to be fast
MAX_EXPRESSIONS = 100
MAX_PROGRAM = 2000  # instructions of one expression: what is to be matched, unrolled
MAX_MEMORY = 256 * 1024 * 1024  # bytes that RE2 may take for an expression, if texts need it
SPELT = 3  # letters: words so long are found letter by letter ("b a d"), too
BEGIN, END, BREAK = "\x02", "\x03", "\x04"  # around each word, and before those that are no neighbours
LETTERS = re.compile(f"(?:{BEGIN}.{END}){{{SPELT}}}")


class Effect(Enum):
    """What becomes of a text in which something was found."""

    REJECT = "reject"
    REPLACE = "replace"  # by asterisks
    FLAG = "flag"  # it passes, and moderators are told


class Outcome(NamedTuple):
    """What a filter says of a text."""

    rejected: bool
    text: str  # as it may pass
    flagged: str  # the first that was flagged, as it was written; "" for nothing


class Pattern(NamedTuple):
    """One line of the file."""

    effect: Effect
    words: str = ""  # an expression on words,
    spelt: str = ""  # and one on the same words, letter by letter
    expression: str = ""  # or one on the text
    letters: int = 0


class WordFilter:
    """The patterns of one file."""

    __slots__ = ("_finders",)

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        patterns = list(patterns)
        self._finders = {effect: _Finder(effect, patterns) for effect in Effect}

    def check(self, text: str) -> Outcome:
        """Say what becomes of a text."""
        plain = Plain(text)
        stream = _Stream(plain)
        if next(self._finders[Effect.REJECT].find(plain, stream), None) is not None:
            return Outcome(True, text, "")
        flagged = next(self._finders[Effect.FLAG].find(plain, stream), None)
        said = "" if flagged is None else text[slice(*flagged)]
        characters = list(text)
        for start, end in self._finders[Effect.REPLACE].find(plain, stream):
            characters[start:end] = "*" * (end - start)
        return Outcome(False, "".join(characters), said)


class _Stream:
    """The words of a text in a row: those that follow each other as neighbours, all other readings alone."""

    __slots__ = ("text", "spelt", "_tokens", "_pieces", "_ends")

    def __init__(self, plain: Plain) -> None:
        words, others = plain.tokens()
        pieces = [f"{BEGIN}{token[0]}{END}" for token in words]
        pieces += [f"{BREAK}{BEGIN}{token[0]}{END}" for token in others]
        self.text = "".join(pieces)
        self.spelt = LETTERS.search(self.text) is not None
        self._tokens: Sequence[Token] = [*words, *others]
        self._pieces = pieces
        self._ends: list[int] = []  # of the pieces, once somebody asks

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The words that a piece of the stream touches, as a piece of the plain text."""
        ends = self._ends = self._ends or list(accumulate(map(len, self._pieces)))
        return self._tokens[bisect_right(ends, start)][1], self._tokens[bisect_right(ends, end - 1)][2]


class _Finder:
    """All patterns of one effect."""

    __slots__ = ("_words", "_spelt", "_expressions")

    def __init__(self, effect: Effect, patterns: list[Pattern]) -> None:
        mine = [pattern for pattern in patterns if pattern.effect is effect]
        self._words = _together([pattern.words for pattern in mine if pattern.words])
        self._spelt = _together([pattern.spelt for pattern in mine if pattern.spelt])
        self._expressions = _together([pattern.expression for pattern in mine if pattern.expression])

    def find(self, plain: Plain, stream: _Stream) -> Iterator[tuple[int, int]]:
        """Find where in the original something stands."""
        for finder in (self._words, self._spelt if stream.spelt else None):
            for start, end in _spans(finder, stream.text):
                yield plain.span(*stream.span(start, end))
        for start, end in _spans(self._expressions, plain.text):
            if end > start:
                yield plain.span(start, end)


def _spans(finder: Any, text: str) -> list[tuple[int, int]]:
    """List where it matches; to ask whether it does first is faster where it does not."""
    if finder is None or finder.search(text) is None:
        return []
    return [match.span() for match in finder.finditer(text)]


def _together(expressions: list[str]) -> Any:
    return compiled("|".join(f"(?:{one})" for one in expressions)) if expressions else None


def compiled(expression: str) -> Any:
    """Compile an expression of RE2; raises ConfigError where it is none, or takes too much memory."""
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False  # it would write to the standard error
    options.never_capture = True
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise ConfigError(said.decode() if isinstance(said, bytes) else str(said)) from None


def read_filter(text: str, name: str) -> WordFilter:
    """Read the text of a file of patterns; raises ConfigError with its name and the line."""
    patterns: list[Pattern] = []
    letters = expressions = 0
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            pattern = _pattern(line)
            patterns.append(pattern)
            letters += pattern.letters
            expressions += bool(pattern.expression)
            _bounded(len(patterns), MAX_PATTERNS, "patterns")
            _bounded(letters, MAX_LETTERS, "letters")
            _bounded(expressions, MAX_EXPRESSIONS, "expressions")
        except ConfigError as error:
            raise ConfigError(f"{name}, line {number}: {error}") from None
    try:
        return WordFilter(patterns)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _bounded(count: int, most: int, what: str) -> None:
    if count > most:
        raise ConfigError(f"more than {most:,} {what}")


def _pattern(line: str) -> Pattern:
    if len(line) > MAX_PATTERN:
        raise ConfigError(f"longer than {MAX_PATTERN} characters")
    effect = Effect.REJECT
    for one in Effect:
        if line.startswith(one.value + ":"):
            effect, line = one, line.removeprefix(one.value + ":").strip()
            break
    if not line.startswith("re:"):
        return _words(effect, line)
    expression = line.removeprefix("re:").strip()
    if compiled(expression).programsize > MAX_PROGRAM:
        raise ConfigError("it stands for too much: make its {numbers} smaller")
    if compiled(expression).search("") is not None:
        raise ConfigError("it matches where there is nothing")
    return Pattern(effect, expression=expression)


def _words(effect: Effect, entry: str) -> Pattern:
    """Make expressions on the stream from one word or several; an asterisk leaves an end open."""
    bare = entry.removeprefix("*").removesuffix("*")
    if "*" in bare:
        raise ConfigError("an asterisk stands at the beginning or at the end; write re: for more")
    words = [token.word for token in Plain(bare).tokens()[0]]
    if not words:
        raise ConfigError("there is no word in it")
    if max(map(len, words)) > LONGEST:
        raise ConfigError(f"a word has at most {LONGEST} letters")
    letters = sum(map(len, words))
    left, right = "" if entry.startswith("*") else BEGIN, "" if entry.endswith("*") else END
    whole = left + _row(words) + right
    spelt = BEGIN + _row(words[0]) + END if len(words) == 1 and letters >= SPELT and left and right else ""
    return Pattern(effect, whole, spelt, letters=letters)


def _row(words: Iterable[str]) -> str:
    return (END + BEGIN).join(map(re2.escape, words))
