"""Names of rooms and users: which are allowed, and when two are the same.

Invariant: a name that passed here is safe to show, to log and to use as a key.
"""

from __future__ import annotations

import re
import unicodedata

from ..errors import Code, ProtocolError

ROOM = re.compile(r"[a-zA-Z0-9._:/-]{1,64}")
MAX_USER = 32  # code points after NFKC
MAX_RAW_USER = 128  # code points before it: NFKC shortens, but sorting endless combining marks is quadratic

# Cc control, Cf format (the bidi and zero-width characters are there), Cs surrogates, Co private use,
# Zl and Zp line and paragraph separators: nothing that hides in, breaks or reorders a line
FORBIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
MAX_EMOJI = 32  # bytes of UTF-8: a family of four has 25, the flag of Scotland 28
# What emoji are made of all the same (UTS 51): the joiner, and the tags that spell the flags of regions
EMOJI_PARTS = frozenset(("\u200d", *map(chr, range(0xE0020, 0xE0080))))


def room_name(name: str) -> str:
    """Check the name of a room; raises ProtocolError BAD_ARGUMENT with field "room"."""
    if ROOM.fullmatch(name) is None:
        raise ProtocolError(Code.BAD_ARGUMENT, "a room is 1 to 64 of a-z A-Z 0-9 . _ : / -", field="room")
    return name


def user_name(name: str, field: str = "user") -> str:
    """Normalise the name of a user to NFKC and check it; raises ProtocolError BAD_ARGUMENT with `field`."""
    normal = unicodedata.normalize("NFKC", name) if len(name) <= MAX_RAW_USER else name
    if not 1 <= len(normal) <= MAX_USER:
        raise ProtocolError(Code.BAD_ARGUMENT, "a name is 1 to 32 characters", field=field)
    if any(unicodedata.category(character) in FORBIDDEN for character in normal):
        raise ProtocolError(
            Code.BAD_ARGUMENT, "a name has no control, format or private characters", field=field
        )
    if normal != normal.strip():
        raise ProtocolError(Code.BAD_ARGUMENT, "a name does not begin or end with a space", field=field)
    return normal


def emoji_name(emoji: str) -> str:
    """Normalise a reaction to NFC and check it: an emoji, or a short name for one.

    Raises ProtocolError BAD_ARGUMENT with field "emoji".
    """
    normal = unicodedata.normalize("NFC", emoji) if len(emoji) <= MAX_EMOJI else emoji
    if not 1 <= len(normal.encode()) <= MAX_EMOJI:
        raise ProtocolError(Code.BAD_ARGUMENT, "a reaction is 1 to 32 bytes of UTF-8", field="emoji")
    for character in normal:
        hides = unicodedata.category(character) in FORBIDDEN and character not in EMOJI_PARTS
        if hides or character.isspace():
            raise ProtocolError(Code.BAD_ARGUMENT, "a reaction has no spaces or controls", field="emoji")
    return normal


def fold(user: str) -> str:
    """Give the key under which a name is unique: two users with the same key cannot both be there.

    Case folding can undo NFKC (and the other way round), hence twice (Unicode, 3.13 D147).
    """
    folded = unicodedata.normalize("NFKC", user).casefold()
    return unicodedata.normalize("NFKC", folded).casefold()
