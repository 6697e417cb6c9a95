"""Colour, where it is wanted: on a terminal, unless NO_COLOR says no (https://no-color.org)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import IO, Any

RESET = "\x1b[0m"
STYLES = {"dim": "\x1b[2m", "bold": "\x1b[1m", "warn": "\x1b[33m", "error": "\x1b[31m", "whisper": "\x1b[35m"}
NAMES = (31, 32, 33, 34, 35, 36, 91, 92, 94, 95, 96)  # foregrounds that read on dark and on light


class Palette:
    """Paints text, or leaves it as it is."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, stream: IO[Any], environ: Mapping[str, str]) -> Palette:
        """Colour on a terminal that can show it."""
        return cls(stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def paint(self, text: str, style: str) -> str:
        """`text` in one of STYLES."""
        return f"{STYLES[style]}{text}{RESET}" if self.on else text

    def name(self, user: str) -> str:
        """A user's name, always in the same colour."""
        if not self.on:
            return user
        colour = NAMES[zlib.crc32(user.casefold().encode()) % len(NAMES)]
        return f"\x1b[1;{colour}m{user}{RESET}"
