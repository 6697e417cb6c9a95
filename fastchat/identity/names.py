"""Which names look alike: the skeleton of UTS 39 (Unicode Security Mechanisms, section 4).

Invariant: two texts with one skeleton can be taken for each other; the skeleton itself is never shown. The
table of look-alikes is that of the library confusable_homoglyphs, read at the first text beyond ASCII.
"""

from __future__ import annotations

import json
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files

from fastchat.protocol.names import fold

# What of ASCII looks like something else: so "rn" is "m", and "0" is "O" (a test compares)
ASCII = str.maketrans({'"': "''", "%": "º/₀", "0": "O", "1": "l", "I": "l", "`": "'", "m": "rn", "|": "l"})

# Default_Ignorable_Code_Point without the format characters, which no name has: nothing of them is to be seen
IGNORED = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
)  # fmt: skip
MEMORY = 1024  # names: a CONNECT asks several times; at most 32 characters each
MARK = "\u200e"  # which the library keeps around what is written from right to left


def skeleton(text: str) -> str:
    """Return the text with everything replaced by what it looks like; costs its length."""
    if text.isascii():
        return text.translate(ASCII)
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).translate(look_alikes()))


@lru_cache(MEMORY)
def looks(name: str) -> tuple[str, ...]:
    """Return what a name may be taken for, one or two keys: names that share one look alike in some case.

    One is of the name as it is shown, where "I" is "l", the other of it in small letters. A name of which
    nothing is to be seen has none.
    """
    shown, small = fold(skeleton(name)), fold(skeleton(fold(name)))
    if not shown.strip():
        return ()
    return (shown,) if shown == small else (shown, small)


@cache
def look_alikes() -> dict[int, str]:
    """Read the table: the code point of a character, and what it looks like.

    The library keeps each pair of UTS 39 both ways, the character first and what it looks like second. So
    what stands for several characters, or is longer than one, is never the character of a pair.
    """
    text = files("confusable_homoglyphs").joinpath("confusables.json").read_text(encoding="utf-8")
    pairs: dict[str, list[dict[str, str]]] = json.loads(text)
    table: dict[int, str] = {code: "" for first, last in IGNORED for code in range(first, last + 1)}
    met: set[str] = set()
    for written, others in pairs.items():
        met.add(written)
        character, target = written.strip(MARK), others[0]["c"]
        if len(others) == 1 and len(character) == 1 and not (len(pairs[target]) == 1 and target in met):
            table[ord(character)] = target.strip(MARK)
    return table
