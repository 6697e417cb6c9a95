"""The forms of msgpack by their first byte, as tables that both codec twins walk by.

Invariant: every one of the 256 bytes has a row, as in the msgpack specification ("Formats").
"""

from __future__ import annotations

# How to go on after the first byte. SCALAR: the value has SIZE bytes in all; the others read a length of WIDE
# bytes, or have the length or count SIZE where WIDE is 0.
SCALAR, STR, BIN, EXT, ARRAY, MAP, NEVER = range(7)


def _tables() -> tuple[bytes, bytes, bytes]:
    kind, wide, size = bytearray(256), bytearray(256), bytearray(256)
    for byte in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):
        size[byte] = 1
    for start, length, what in ((0x80, 16, MAP), (0x90, 16, ARRAY), (0xA0, 32, STR)):
        for count in range(length):
            kind[start + count], size[start + count] = what, count
    for start, what in ((0xC4, BIN), (0xC7, EXT), (0xD9, STR)):
        for step in range(3):
            kind[start + step], wide[start + step] = what, 1 << step
    for start, what in ((0xDC, ARRAY), (0xDE, MAP)):
        for step in range(2):
            kind[start + step], wide[start + step] = what, 2 << step
    for step in range(5):
        kind[0xD4 + step], size[0xD4 + step] = EXT, 1 << step
    for step in range(4):
        size[0xCC + step] = size[0xD0 + step] = 1 + (1 << step)
    size[0xCA], size[0xCB] = 5, 9
    kind[0xC1] = NEVER
    return bytes(kind), bytes(wide), bytes(size)


KIND, WIDE, SIZE = _tables()
INTEGERS = frozenset((*range(0x80), *range(0xE0, 0x100), *range(0xCC, 0xD4)))  # first bytes
NANOSECONDS = 1_000_000_000  # a timestamp has fewer in its fraction
