"""The opening handshake of a WebSocket (RFC 6455, section 4): the request's bytes in, an answer out.

The `websockets` library reads the request and makes the answer; which origins and subprotocols are welcome
is decided here. Nothing of it stays in memory once the connection is open.
"""

from __future__ import annotations

import http
import ipaddress
import logging
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from fastchat.broadcast import Wire

HEAD_LIMIT = 16 * 1024  # bytes of the request: browsers send 1 KiB, cookies may add some
HEAD_END = b"\r\n\r\n"
FORBIDDEN = http.HTTPStatus.FORBIDDEN
LOG = logging.getLogger(__name__)

SUBPROTOCOLS = {
    Subprotocol("fastchat.v1.msgpack"): Wire.WS,
    Subprotocol("fastchat.v1.json"): Wire.WS_JSON,
}


class Answer(NamedTuple):
    """What goes back, and the wire of an open connection; None: the handshake failed."""

    response: bytes
    wire: Wire | None


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """The library logs a line at INFO for each connection; here only what is wrong with us is logged."""

    def isEnabledFor(self, level: int) -> bool:
        return level >= logging.ERROR


QUIET = _Quiet(LOG, {})


def shake(head: bytes, origins: Sequence[str]) -> Answer:
    """Answer a complete request head (everything up to the blank line, and it).

    `origins` are those allowed besides a page of ours at an address; "*" allows any.
    """
    library = ServerProtocol(select_subprotocol=_choose, logger=QUIET)
    library.receive_data(head)
    requests = [event for event in library.events_received() if isinstance(event, Request)]
    if not requests:
        sent = b"".join(library.data_to_send())
        return Answer(sent or refusal(http.HTTPStatus.BAD_REQUEST, "This is no HTTP request.\n"), None)
    request = requests[0]
    reason = _unwelcome(request.headers, origins)
    response = library.accept(request) if reason is None else library.reject(FORBIDDEN, reason)
    library.send_response(response)
    wire = SUBPROTOCOLS[library.subprotocol] if library.subprotocol is not None else Wire.WS
    return Answer(b"".join(library.data_to_send()), wire if response.status_code == 101 else None)


def refusal(status: http.HTTPStatus, text: str, retry_seconds: int = 0) -> bytes:
    """A short plain answer to somebody whose request will not be served; the connection closes after it."""
    body = text.encode()
    headers = Headers(
        [
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
        ]
    )
    if retry_seconds:
        headers["Retry-After"] = str(retry_seconds)
    return Response(status.value, status.phrase, headers, body).serialize()


def _choose(library: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first offered one that we speak; who offers none gets msgpack (docs/PROTOCOL.md, "Framing")."""
    if not offered:
        return None
    for subprotocol in offered:
        if subprotocol in SUBPROTOCOLS:
            return subprotocol
    raise NegotiationError(f"none of the subprotocols is spoken here; offer one of {', '.join(SUBPROTOCOLS)}")


def _unwelcome(headers: Headers, origins: Sequence[str]) -> str | None:
    """Why a page of that origin may not connect; None when it may (RFC 6455, section 10.2)."""
    try:
        origin = headers.get("Origin")
        host = headers.get("Host")
    except MultipleValuesError:
        return "More than one Origin or Host header.\n"
    if origin is None or "*" in origins or origin in origins:
        return None
    if host is not None and _is_own(origin, host):
        return None
    return f"Pages of {origin!r} may not connect here: allow them with `origins`.\n"


def _is_own(origin: str, host: str) -> bool:
    """Whether the page came from the very address it connects to.

    A name proves nothing: whoever owns one can point it at this machine after the page was loaded (DNS
    rebinding), so names other than localhost have to be among the allowed origins.
    """
    try:
        page = urlsplit(origin)
        if page.netloc.lower() != host.lower():
            return False
        if page.hostname != "localhost":
            ipaddress.ip_address(page.hostname or "")
    except ValueError:  # an origin that is no URL, or a name
        return False
    return True
