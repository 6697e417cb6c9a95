"""The opening handshake of a WebSocket: what is accepted, what is refused and how."""

from __future__ import annotations

import base64
import hashlib
import http

import pytest

from fastchat.broadcast import Wire
from fastchat.transports.handshake import refusal, shake

KEY = base64.b64encode(b"0123456789abcdef").decode()
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

GOOD = {
    "Host": "chat.example:9999",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head(*, line: str = "GET /ws HTTP/1.1", extra: str = "", **changed: str | None) -> bytes:
    """A request; `changed` replaces headers, None leaves one out; underscores stand for dashes."""
    headers = dict(GOOD)
    for name, value in changed.items():
        name = name.replace("_", "-")
        headers.pop(name, None)
        if value is not None:
            headers[name] = value
    lines = [line, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode("latin-1")


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def test_a_good_request_opens_a_msgpack_wire() -> None:
    response, wire = shake(head(), ())
    assert wire is Wire.WS
    assert status(response) == 101
    accept = base64.b64encode(hashlib.sha1((KEY + GUID).encode()).digest())
    assert b"Sec-WebSocket-Accept: " + accept in response
    assert b"Sec-WebSocket-Protocol" not in response
    assert response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("offered", "wire", "chosen"),
    [
        ("fastchat.v1.msgpack", Wire.WS, b"fastchat.v1.msgpack"),
        ("fastchat.v1.json", Wire.WS_JSON, b"fastchat.v1.json"),
        ("soap, fastchat.v1.json, fastchat.v1.msgpack", Wire.WS_JSON, b"fastchat.v1.json"),
    ],
)
def test_the_first_offered_subprotocol_we_speak_is_chosen(offered: str, wire: Wire, chosen: bytes) -> None:
    response, got = shake(head(Sec_WebSocket_Protocol=offered), ())
    assert got is wire
    assert b"Sec-WebSocket-Protocol: " + chosen + b"\r\n" in response


def test_compression_is_never_agreed() -> None:
    response, wire = shake(head(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"), ())
    assert wire is Wire.WS
    assert b"extensions" not in response.lower()


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (head(Sec_WebSocket_Protocol="soap"), 400),
        (head(Upgrade=None), 426),
        (head(Connection="close"), 426),
        (head(Sec_WebSocket_Key=None), 400),
        (head(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (head(Sec_WebSocket_Key="!!!"), 400),
        (head(Sec_WebSocket_Version="8"), 400),
        (head(Sec_WebSocket_Version=None), 400),
        (head(line="GET /ws HTTP/1.0"), 505),
        (head(line="GET /ws HTTP/3.7"), 400),
        (head(line="GET /ws"), 400),
        (head(line="GET /ws HTTP/1.1 "), 400),
        (head(extra="no colon here\r\n"), 400),
        (head(extra="Content-Length: 5\r\n"), 400),
        (head(extra="Transfer-Encoding: chunked\r\n"), 400),
        (head(extra="X: " + "y" * 9000 + "\r\n"), 431),
        (head(extra="X: y\r\n" * 200), 431),
        (head(line="GET /ws?" + "y" * 9000 + " HTTP/1.1"), 414),
        (b"\r\n\r\n", 400),
        (b"GET /ws\xff HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_is_wrong_is_refused_with_the_right_status(request_head: bytes, expected: int) -> None:
    response, wire = shake(request_head, ())
    assert wire is None
    assert status(response) == expected


@pytest.mark.parametrize(
    ("origin", "allowed", "welcome"),
    [
        (None, (), True),
        ("http://chat.example:9999", (), False),  # its owner may have pointed the name at us
        ("http://chat.example:9999", ("http://chat.example:9999",), True),
        ("http://chat.example", (), False),
        ("https://evil.example", (), False),
        ("null", (), False),
        ("http://[broken", (), False),
        ("https://app.example", ("https://app.example",), True),
        ("https://app.example.evil", ("https://app.example",), False),
        ("https://evil.example", ("*",), True),
    ],
)
def test_which_pages_may_connect(origin: str | None, allowed: tuple[str, ...], welcome: bool) -> None:
    response, wire = shake(head(Origin=origin), allowed)
    assert (wire is not None) is welcome
    assert status(response) == (101 if welcome else 403)


@pytest.mark.parametrize("host", ["127.0.0.1:9999", "[::1]:9999", "localhost:9999", "LOCALHOST", "192.0.2.7"])
def test_a_page_of_the_address_it_connects_to_is_welcome(host: str) -> None:
    assert status(shake(head(Host=host, Origin=f"HTTP://{host}"), ()).response) == 101
    assert status(shake(head(Host=host, Origin=f"http://{host}:80"), ()).response) == 403


def test_two_origins_are_refused() -> None:
    request = head(extra="Origin: http://chat.example:9999\r\nOrigin: https://evil.example\r\n")
    assert status(shake(request, ()).response) == 403


def test_a_refusal_is_a_complete_answer() -> None:
    response = refusal(http.HTTPStatus.SERVICE_UNAVAILABLE, "full\n", 5)
    first, _, body = response.partition(b"\r\n\r\n")
    assert status(response) == 503
    assert body == b"full\n"
    assert b"Content-Length: 5" in first and b"Retry-After: 5" in first and b"Connection: close" in first
