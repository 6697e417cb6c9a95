"""What the suite's cases, written for Python 2, expect of their surroundings.

Their strings are bytes there. Here they are read as latin-1, so a case's "string" is a str with one character
per byte, and becomes bytes where it leaves the case (`outward`) and a str where it comes back (`inward`).
"""

from __future__ import annotations

import binascii as real

from autobahn.websocket import utf8validator

xrange = range
unichr = chr


def outward(data: str | bytes) -> bytes:
    """What goes to the wire."""
    return data.encode("latin-1") if isinstance(data, str) else bytes(data)


def inward(data: bytes | str) -> str:
    """What a case is told."""
    return data if isinstance(data, str) else bytes(data).decode("latin-1")


class binascii:  # noqa: N801 - stands for the module of that name
    """The two functions that the cases use, on such strings."""

    @staticmethod
    def b2a_hex(data: str) -> str:
        return real.b2a_hex(outward(data)).decode()

    @staticmethod
    def a2b_hex(data: str) -> str:
        return real.a2b_hex(data).decode("latin-1")


class Utf8Validator:
    """autobahn's validator, on such strings."""

    def __init__(self) -> None:
        self._real = utf8validator.Utf8Validator()
        self.reset = self._real.reset

    def validate(self, data: str) -> tuple[bool, bool, int, int]:
        result: tuple[bool, bool, int, int] = self._real.validate(outward(data))
        return result
