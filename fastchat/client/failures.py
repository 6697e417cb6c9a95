"""What can go wrong for a client, as exceptions under `FastChatError`.

A refusal carries the server's wire code; everything else is about the connection.
"""

from __future__ import annotations

from fastchat.errors import Code, FastChatError

CODES = {int(code): code for code in Code}


class CannotConnect(FastChatError):
    """Nobody answered at the address, or what answered does not speak fastchat."""


class Disconnected(FastChatError):
    """The connection ended before the answer came, and the request cannot be sent again safely."""


class RequestTimeout(FastChatError, TimeoutError):
    """No answer in time; it is not known whether the server carried the request out."""


class Closed(FastChatError):
    """This client was closed by its own program."""


class ServerFault(FastChatError):
    """The server sent what the protocol does not allow; the connection is given up."""


class Refused(FastChatError):
    """The server said no: `code` and `text` of an ERROR or BYE (docs/PROTOCOL.md, "Codes").

    `field` names the argument that is wrong (302), `retry_ms` says when to try again (1xx and 4xx).
    A code that this version does not know stays a plain int.
    """

    def __init__(
        self, code: int, text: str, *, retry_ms: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(f"{text} ({int(code)})")
        self.code: int = CODES.get(code, code)
        self.text = text
        self.retry_ms = retry_ms
        self.field = field

    @property
    def temporary(self) -> bool:
        """True where the same request may pass later (1xx and 4xx)."""
        return self.code // 100 in (1, 4)
