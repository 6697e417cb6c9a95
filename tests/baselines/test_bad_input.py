"""What is wrong is refused as docs/PROTOCOL.md says, and costs nobody else anything."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from fastchat.baselines import speech
from fastchat.protocol.messages import Ping
from fastchat.protocol.session import Phase
from tests.baselines.running import Running, running
from tests.server.wire import BYE, CONNECT, ERROR, HISTORY, JOIN, PING, PUBLISH, RESULT, pack

VECTORS = Path(__file__).parent.parent / "vectors"
REFUSED = json.loads((VECTORS / "refused.json").read_text())["cases"]
SPOKEN = set(speech.SPOKEN_OPS)


def opened(payload: bytes) -> int | None:
    """The operation, where the payload is an array of at most 15 that begins with a small one."""
    return payload[1] if len(payload) > 1 and 0x91 <= payload[0] <= 0x9F and payload[1] < 0x80 else None


def test_the_vectors_of_what_is_refused(server: Running) -> None:
    for case in REFUSED:
        payload = bytes.fromhex(case["hex"])
        with server.dial() as peer:
            peer.connect()
            peer.raw(payload)
            op, id, code, _, opts = peer.receive()
        operation = opened(payload)
        unspoken = case["code"] == 302 and operation is not None and operation not in SPOKEN
        wanted = (301, None) if unspoken else (case["code"], case["field"])
        assert (op, id, (code, opts.get("field"))) == (ERROR, case["id"], wanted), case["name"]


def test_three_malformed_frames_are_the_end(server: Running) -> None:
    with server.dial("eve", "lobby") as eve, server.dial("ada", "lobby") as ada:
        for _ in range(3):
            eve.raw(b"\xc1")
        assert [eve.receive()[:3] for _ in range(3)] == [[ERROR, 0, 300]] * 3
        assert eve.receive() == [BYE, 300, "too many malformed frames", {"reconnect": False}]
        eve.send(PING, 1)
        assert eve.ended()
        while ada.join("lobby")["members"] > 1:
            continue


@pytest.mark.parametrize("op", [5, HISTORY, 7, 8, 13, 14, 9, 99])
def test_what_is_not_spoken_closes_nothing(server: Running, op: int) -> None:
    with server.dial() as ada:
        assert ada.ask(op, 3, "lobby", True)[:3] == [ERROR, 3, 301]  # before CONNECT too
        ada.connect("ada")
        assert ada.ask(op, 4, "bob", "text")[:3] == [ERROR, 4, 301]
        assert ada.ask(op, 5)[:3] == [ERROR, 5, 301]  # whatever its arguments
        assert ada.ask(PING, 6)[0] == RESULT


def test_connect_comes_first(server: Running) -> None:
    with server.dial() as ada:
        for number, command in enumerate(((JOIN, "lobby"), (3, "lobby"), (PUBLISH, "lobby", "x")), 1):
            assert ada.ask(command[0], number, *command[1:])[:3] == [ERROR, number, 200]
        ada.connect("ada")
        assert ada.ask(CONNECT, 9, 1)[:3] == [ERROR, 9, 309]
        assert ada.ask(PUBLISH, 9, "lobby", "x")[:3] == [ERROR, 9, 304]


def test_connects_that_are_refused(server: Running) -> None:
    with server.dial() as ada:
        assert ada.ask(CONNECT, 1, 1, {"token": "t"})[:3] == [ERROR, 1, 202]
        ada.connect("ada", resume="whatever")
    with server.dial() as old:
        assert old.ask(CONNECT, 1, 0)[:3] == [ERROR, 1, 306]
        assert old.receive()[:2] == [BYE, 306] and old.ended()


def test_frames_that_are_too_long(kind: str) -> None:
    with running(kind, max_frame=2048) as server:
        with server.dial() as eve:
            eve.socket.sendall((1025).to_bytes(4) + b"\x92\x10")  # before CONNECT 1 KiB
            assert eve.receive()[:2] == [BYE, 305] and eve.ended()
        with server.dial("ada", "lobby") as ada, server.dial("eve", "lobby") as eve:
            room = 2048 - len(pack(PUBLISH, 7, "lobby", "x" * 1000)) + 1000
            assert eve.ask(PUBLISH, 7, "lobby", "x" * room)[0] == RESULT
            eve.send(PING, 8)
            eve.send(PUBLISH, 7, "lobby", "x" * (room + 1))
            eve.send(PING, 9)
            assert eve.receive()[:2] == [RESULT, 8]
            assert eve.receive()[:2] == [BYE, 305] and eve.ended()
            assert ada.ask(PING, 1)[0] == RESULT


def test_bye_arrives_though_the_peer_goes_on_sending(kind: str) -> None:
    with running(kind, patience=5.0) as server, server.dial("eve") as eve:
        eve.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        eve.socket.sendall(b"\x7f" * 1_000_000)  # would fail if the server closed at once
        assert eve.receive()[:2] == [BYE, 305] and eve.ended()


def test_the_end_comes_for_who_has_not_closed_after_bye(kind: str) -> None:
    with running(kind, patience=5.0) as server:
        with server.dial("ada") as ada:
            eve = server.dial("eve")
            eve.socket.sendall(b"\x7f" * 100)
            assert eve.receive()[:2] == [BYE, 305] and eve.ended()
            assert ada.ask(PING, 1)[0] == RESULT
    eve.__exit__()


def test_half_a_frame_and_gone(server: Running) -> None:
    with server.dial("ada", "lobby") as ada:
        with server.dial("eve", "lobby") as eve:
            eve.socket.sendall(b"\0\0\0\x20half")
        while ada.join("lobby")["members"] > 1:
            continue


def test_more_rooms_than_a_session_may_have(kind: str) -> None:
    with running(kind, max_rooms=2) as server, server.dial("ada", "one", "two") as ada:
        assert ada.ask(JOIN, 3, "three")[2:5:2] == [402, {"retry_ms": 1000}]
        assert ada.ask(JOIN, 4, "two")[0] == RESULT
        with server.dial() as bob:
            rooms = bob.connect("bob", rooms={"a": None, "b": None, "c": None})["rooms"]
            assert rooms["c"]["error"][0] == 402 and rooms["c"]["error"][2] == {"retry_ms": 1000}


def test_a_fault_of_ours_costs_one_connection(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("a mistake")

    with running(kind) as server:
        with server.dial("ada", "lobby") as ada, server.dial("eve", "lobby") as eve:
            monkeypatch.setitem(speech.HANDLERS[Phase.LIVE], Ping, broken)
            eve.send(PING, 1)
            assert eve.ended()
            while ada.join("lobby")["members"] > 1:
                continue
    assert "a mistake" in caplog.text
