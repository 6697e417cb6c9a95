"""ERROR 101 and 400 said thousands of times a second: encoded once but for the id.

To refuse must cost far less than to serve, or refusing is what overloads the server.
"""

from __future__ import annotations

from fastchat.errors import Code
from fastchat.protocol.codec import error

TEXT = "the server has more to do than it can"
HEAD = 2  # bytes of ERROR before its id: the array and the operation
UINT32 = b"\xce"


class Refusal:
    """One ERROR, of one `retry_ms` at a time."""

    __slots__ = ("_code", "_text", "_retry_ms", "_head", "_tail")

    def __init__(self, code: Code = Code.OVERLOADED, text: str = TEXT) -> None:
        self._code = code
        self._text = text
        self._retry_ms = 0  # of what is encoded
        self._head = b""
        self._tail = b""

    def encode(self, id: int, retry_ms: int) -> bytes:
        """Encode it for the command with that id."""
        if retry_ms != self._retry_ms:
            self._retry_ms = retry_ms
            whole = error(0, self._code, self._text, retry_ms)
            self._head, self._tail = whole[:HEAD] + UINT32, whole[HEAD + 1 :]
        return self._head + id.to_bytes(4) + self._tail
