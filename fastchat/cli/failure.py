"""Exit codes, and what to say with them: what happened, and what to do next."""

from __future__ import annotations

from fastchat.bench.failure import BenchError
from fastchat.cli.text import paragraph, safe
from fastchat.client import CannotConnect, Closed, Disconnected, Refused, RequestTimeout, ServerFault
from fastchat.errors import Code, ConfigError, FastChatError, StoreError

USAGE = 2
CANNOT_CONNECT = 3
REFUSED = 4
NO_ANSWER = 5
NOT_MEASURED = 3

EXITS: tuple[tuple[type[FastChatError], int], ...] = (
    (ConfigError, USAGE),
    (StoreError, USAGE),
    (BenchError, NOT_MEASURED),
    (CannotConnect, CANNOT_CONNECT),
    (Refused, REFUSED),
    (RequestTimeout, NO_ANSWER),
    (Disconnected, NO_ANSWER),
    (ServerFault, NO_ANSWER),
    (Closed, NO_ANSWER),
)

ADVICE: dict[int, str] = {
    Code.TOKEN_EXPIRED: "Get a fresh token, and name its file with --token-file.",
    Code.TOKEN_INVALID: "See --token-file, and whether the token is meant for this server.",
    Code.NO_SUCH_MESSAGE: "It may have been deleted, or be too old.",
    Code.NAME_TAKEN: "Choose another with --name.",
    Code.TOO_LARGE: "Send less at a time.",
    Code.OVERLOADED: "Try again in a moment.",
    Code.DRAINING: "The server is going down; try again in a moment.",
    Code.RATE: "Send more slowly.",
    Code.TOO_MANY_CONNECTIONS: "Close some connections, or try again later.",
    Code.REPLACED: "Somebody with the same session, or a token for the name, took it over.",
}


class Failure(Exception):
    """Ends the command with a code and a text on stderr."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    @classmethod
    def of(cls, error: FastChatError) -> Failure:
        """The exit code and text of an exception."""
        code = next((code for kind, code in EXITS if isinstance(error, kind)), 1)
        return cls(explain(error), code)


def explain(error: FastChatError) -> str:
    """What happened, and what to do next; the server's words are made harmless."""
    if isinstance(error, BenchError):
        return paragraph(str(error))
    if isinstance(error, Refused) and error.text.startswith("you were "):
        return safe(str(error))  # turned out of a room: that is no answer to anything
    if isinstance(error, Refused):
        advice = ADVICE.get(error.code, "")
        return f"the server refused: {safe(str(error))}{'. ' + advice if advice else ''}"
    if isinstance(error, CannotConnect):
        text = safe(str(error))
        trust = "Does it speak TLS, with a certificate to be trusted? See --tls-ca."
        advice = trust if ": TLS failed" in text else "Is it running (fastchat serve)? See --url."
        return f"cannot connect to {text}. {advice}"
    return safe(str(error))
