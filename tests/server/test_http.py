"""Plain HTTP on the same port: the page, the probes, and caution in every answer."""

from __future__ import annotations

import base64
import hashlib
import logging
import re

import pytest

from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import dial, get, http, serving


def test_the_page_says_what_this_is_and_needs_nothing_else(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            status, headers, body = await http(server, get("/"))
            assert status == 200
            assert headers["content-type"] == "text/html; charset=utf-8"
            text = body.decode()
            for word in ("fastchat", "/ws", "fastchat.v1.json", "tcp://"):
                assert word in text
            assert not re.search(r"<script|src=|href=|\son\w+=", text)
            (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            policy = headers["content-security-policy"]
            assert f"style-src 'sha256-{digest}'" in policy
            assert "default-src 'none'" in policy and "unsafe" not in policy

    run(scenario())


def test_probes_answer(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            assert (await http(server, get("/healthz")))[::2] == (200, b"ok\n")
            assert (await http(server, get("/readyz")))[::2] == (200, b"ready\n")

    run(scenario())


def test_while_draining_it_is_alive_but_not_ready(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server) as peer:
            server.wiring.draining = True
            peer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + get("/readyz"))
            answer = await peer.rest()
            assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"503"]
            assert b"Retry-After" in answer

    run(scenario())


CASES = {
    "no such page": (get("/nope"), 404),
    "below /ws": (get("/ws/x"), 404),
    "like /ws": (get("/wsx"), 404),
    "traversal": (get("/../etc/passwd"), 404),
    "post": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 405),
    "head": (b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
}


@pytest.mark.parametrize(("request_bytes", "status"), CASES.values(), ids=CASES)
def test_every_answer_is_cautious(run: Runner, parts: Parts, request_bytes: bytes, status: int) -> None:
    async def scenario() -> None:
        async with serving() as server:
            got, headers, body = await http(server, request_bytes)
            assert got == status
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["server"] == "fastchat"
            assert b"Traceback" not in body and b"aiohttp" not in body

    run(scenario())


GARBAGE = {
    "no request": b"GET\r\n\r\n",
    "no method": b"XYZZY / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "long line": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "control bytes": b"GET / HTTP/1.1\r\nX: \x00\x01\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunks": b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_gets_400_and_a_close(run: Runner, parts: Parts, data: bytes) -> None:
    async def scenario() -> None:
        async with serving(linger_seconds=0.3, connect_seconds=0.5) as server:
            status, _, body = await http(server, data)
            assert status == 400
            assert b"Traceback" not in body
            assert (await http(server, get("/healthz")))[0] == 200

    run(scenario())


def test_what_was_no_request_is_not_in_the_log(
    run: Runner, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving() as server:
            await http(server, b"GET / HTTP/1.1\r\nAuthorization: secret\x00token\r\n\r\n")

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    assert "Error handling request" in caplog.text and "secret" not in caplog.text


def test_pipelined_requests_are_answered_in_order(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server) as peer:
            first, second = (b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/nope", b"/healthz"))
            peer.write(first + second + get("/"))
            answer = await peer.rest()
            assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200", b"200"]

    run(scenario())
