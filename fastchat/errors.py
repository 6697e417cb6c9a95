"""Codes of the wire protocol and the exceptions that carry them.

What the peer did wrong is a `ProtocolError` and carries its wire code; what we did wrong never reaches
the peer as more than `Code.INTERNAL`.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Codes of ERROR and BYE (docs/PROTOCOL.md, "Codes"): hundreds tell the kind."""

    INTERNAL = 100
    OVERLOADED = 101
    DRAINING = 102
    STORE_UNAVAILABLE = 103

    CONNECT_FIRST = 200
    TOKEN_EXPIRED = 201
    TOKEN_INVALID = 202
    FORBIDDEN = 203
    BANNED = 204
    MUTED = 205
    KICKED = 206
    REPLACED = 207

    MALFORMED = 300
    UNKNOWN_OPERATION = 301
    BAD_ARGUMENT = 302
    NO_SUCH_ROOM = 303
    NOT_A_MEMBER = 304
    TOO_LARGE = 305
    VERSION_NOT_SUPPORTED = 306
    NAME_TAKEN = 307
    NO_SUCH_MESSAGE = 308
    ALREADY_CONNECTED = 309

    RATE = 400
    SLOW_MODE = 401
    TOO_MANY_ROOMS = 402
    ROOM_FULL = 403
    TOO_MANY_CONNECTIONS = 404
    SLOW_CONSUMER = 405
    TIMEOUT = 406
    USER_NOT_ONLINE = 407

    @property
    def temporary(self) -> bool:
        """True for 1xx and 4xx: the same request may pass later, and `retry_ms` says when."""
        return self // 100 in (1, 4)

    @property
    def reconnect(self) -> bool:
        """True where a client that got BYE with this code should come back by itself."""
        return self.temporary


class FastChatError(Exception):
    """The root of every exception that fastchat raises on purpose."""


class ConfigError(FastChatError):
    """A setting is missing, unknown or contradicts another; the text says what to do."""


class StoreError(FastChatError):
    """What is kept cannot be read, copied or filled as somebody asked; the text says what to do."""


class ProtocolError(FastChatError):
    """What a peer did wrong, or was refused: one wire code and a text for people.

    `field` names the argument that is wrong (BAD_ARGUMENT), `retry_ms` says when to try again
    (temporary codes), `id` is the command's id where it could be read, else 0.
    """

    __slots__ = ("code", "text", "field", "retry_ms", "id")

    def __init__(
        self, code: Code, text: str, *, field: str | None = None, retry_ms: int | None = None, id: int = 0
    ) -> None:
        super().__init__(f"{code.value} {code.name.lower()}: {text}")
        self.code = code
        self.text = text
        self.field = field
        self.retry_ms = retry_ms
        self.id = id


class FrameError(ProtocolError):
    """The framing itself is broken or too long: nothing after it on this connection can be trusted."""

    __slots__ = ()
