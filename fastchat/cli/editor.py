"""A line editor without a terminal: characters in; lines out, and what one row should show.

Invariant: what is being typed never takes more than one row, however long or wide it is, so that a message
can be printed above it at any time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

ESCAPE = "\x1b"
LONGEST = 16 * 1024  # characters of one line
REMEMBERED = 200  # lines of history


def width(char: str) -> int:
    """Columns that a character takes on a terminal."""
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Editor:
    """What is being typed, where the cursor stands, and what was typed before."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._at = 0  # the cursor, in characters
        self._escape = ""  # an escape sequence that is not complete
        self._past: list[str] = []
        self._back = 0  # how far back in it; 0 is the line being typed
        self._typing = ""
        self.ended = False  # Ctrl-D on an empty line

    @property
    def text(self) -> str:
        """The line as it stands."""
        return "".join(self._text)

    def feed(self, characters: str) -> list[str]:
        """Take what was typed; gives the lines that were completed."""
        lines: list[str] = []
        for char in characters:
            if self._escape or char == ESCAPE:
                self._in_escape(char)
            elif char in "\r\n":
                lines.append(self._enter())
            elif char in KEYS:
                KEYS[char](self)
            elif char == "\x04":
                self._control_d()
            elif (char.isprintable() or width(char) == 0) and len(self._text) < LONGEST:
                self._text.insert(self._at, char)
                self._at += 1
        return lines

    def view(self, columns: int) -> tuple[str, int]:
        """The part of the line that fits into `columns`, and the column of the cursor in it."""
        start, column = self._at, 0
        while start > 0 and column + width(self._text[start - 1]) < columns:
            start -= 1
            column += width(self._text[start])
        end, used = start, 0
        while end < len(self._text) and used + width(self._text[end]) < columns:
            used += width(self._text[end])
            end += 1
        return "".join(self._text[start:end]), column

    def _enter(self) -> str:
        line = self.text
        if line.strip() and self._past[-1:] != [line]:
            self._past = [*self._past, line][-REMEMBERED:]
        self._set("")
        self._back = 0
        return line

    def _set(self, text: str) -> None:
        self._text, self._at = list(text), len(text)

    def _in_escape(self, char: str) -> None:
        """CSI (ESC [ parameters final) and SS3 (ESC O final); of other sequences the first character."""
        self._escape += char
        sequence = self._escape
        if len(sequence) == 1 or (len(sequence) == 2 and char in "[O"):
            return
        if sequence[1] in "[O" and not "@" <= char <= "~" and len(sequence) < 16:
            return
        self._escape = ""
        action = SEQUENCES.get(sequence[1:].replace("O", "[", 1) if sequence[1] == "O" else sequence[1:])
        if action is not None:
            action(self)

    def _control_d(self) -> None:
        if self._text:
            self._delete()
        else:
            self.ended = True

    def _backspace(self) -> None:
        if self._at:
            self._at -= 1
            del self._text[self._at]

    def _delete(self) -> None:
        del self._text[self._at : self._at + 1]

    def _left(self) -> None:
        self._at = max(0, self._at - 1)

    def _right(self) -> None:
        self._at = min(len(self._text), self._at + 1)

    def _home(self) -> None:
        self._at = 0

    def _end(self) -> None:
        self._at = len(self._text)

    def _kill_before(self) -> None:
        del self._text[: self._at]
        self._at = 0

    def _kill_after(self) -> None:
        del self._text[self._at :]

    def _kill_word(self) -> None:
        start = self._at
        while start and self._text[start - 1] == " ":
            start -= 1
        while start and self._text[start - 1] != " ":
            start -= 1
        del self._text[start : self._at]
        self._at = start

    def _older(self) -> None:
        self._go_back(self._back + 1)

    def _newer(self) -> None:
        self._go_back(self._back - 1)

    def _go_back(self, back: int) -> None:
        if not 0 <= back <= len(self._past):
            return
        if self._back == 0:
            self._typing = self.text
        self._back = back
        self._set(self._past[-back] if back else self._typing)


Action = Callable[[Editor], None]

KEYS: dict[str, Action] = {
    "\x7f": Editor._backspace,
    "\x08": Editor._backspace,
    "\x01": Editor._home,  # Ctrl-A
    "\x05": Editor._end,  # Ctrl-E
    "\x02": Editor._left,  # Ctrl-B
    "\x06": Editor._right,  # Ctrl-F
    "\x10": Editor._older,  # Ctrl-P
    "\x0e": Editor._newer,  # Ctrl-N
    "\x15": Editor._kill_before,  # Ctrl-U
    "\x0b": Editor._kill_after,  # Ctrl-K
    "\x17": Editor._kill_word,  # Ctrl-W
}

SEQUENCES: dict[str, Action] = {
    "[A": Editor._older,
    "[B": Editor._newer,
    "[C": Editor._right,
    "[D": Editor._left,
    "[H": Editor._home,
    "[1~": Editor._home,
    "[F": Editor._end,
    "[4~": Editor._end,
    "[3~": Editor._delete,
}
