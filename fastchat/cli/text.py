"""Text of others made harmless before a terminal sees it.

Invariant: no control character, escape sequence, bidirectional override or line break of a peer leaves
here; what is printed for a message cannot pass for another message.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

JOINERS = frozenset("\u200c\u200d")  # zero width, but scripts and emoji are spelled with them
UNSAFE = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))  # Unicode categories
CONTINUED = "\n      │ "  # begins every further line of one message
MEDIA = ("image", "audio", "video", "file")
LONGEST = 64 * 1024  # characters of one message that are shown


def safe(text: str) -> str:
    """One line in which everything is visible: control characters as pictures or escapes."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def paragraph(text: str) -> str:
    """Like `safe`, but lines stay lines, each marked as a continuation."""
    if text.isprintable():
        return text
    return CONTINUED.join(safe(line.replace("\t", "    ")) for line in re.split(r"\r\n|\n|\r", text))


def _visible(char: str) -> str:
    if char in JOINERS or unicodedata.category(char) not in UNSAFE:
        return char
    number = ord(char)
    if number < 0x20:
        return chr(0x2400 + number)  # the "control pictures" block
    if number == 0x7F:
        return "\u2421"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def json_line(value: object) -> str:
    """One line of JSON that is as harmless; bytes stand as {"$bin": base64}."""
    return harmless(json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))


def harmless(line: str) -> str:
    """The same line of JSON, with what a terminal would obey as escapes."""
    return line if line.isprintable() else "".join(map(_escaped, line))


def _escaped(char: str) -> str:
    if char in JOINERS or unicodedata.category(char) not in UNSAFE:
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def plain(value: object) -> object:
    """What JSON can say of decoded msgpack."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return {"$bin": base64.b64encode(value).decode()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    return str(value)  # NaN, infinities, timestamps, extension types


def body(data: Any) -> str:
    """What somebody said, for people."""
    if isinstance(data, str):
        return paragraph(data[:LONGEST]) + (" ..." if len(data) > LONGEST else "")
    if isinstance(data, Mapping) and data.get("type") in MEDIA:
        return media(data)
    text = json_line(data)
    return text[:LONGEST] + (" ..." if len(text) > LONGEST else "")


def media(data: Mapping[str, Any]) -> str:
    """A picture, sound, film or file as a line: [image cat.png 12 KiB https://...]."""
    parts = [str(data["type"]), str(data.get("name", ""))]
    size = data.get("size")
    if isinstance(size, int):
        parts.append(f"{size:,} bytes" if size < 10_240 else f"{size // 1024:,} KiB")
    parts.append(str(data.get("url", "")))
    return "[" + safe(" ".join(part for part in parts if part))[:LONGEST] + "]"
