"""Whatever a client sends, it gets the code of the protocol, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastchat.server import Server
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import (
    BINARY,
    BYE,
    CLOSE,
    CONNECT,
    ERROR,
    JOIN,
    MESSAGE,
    PING,
    PUBLISH,
    RESULT,
    TEXT,
    client_frame,
    dial,
    pack,
    serving,
    tcp,
    upgrade,
    ws,
)

Attack = Callable[[Server], Awaitable[None]]


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


async def unnoticed(attack: Attack, **settings: Any) -> None:
    """Run the attack while two others talk: they must get all they should, and nothing else."""
    async with serving(**settings) as server:
        async with dial(server, "tcp", "bob") as listener, dial(server, "ws", "cy") as speaker:
            await listener.join("lobby")
            await speaker.join("lobby")
            speaker.send(PUBLISH, 1, "lobby", "before")
            await attack(server)
            speaker.send(PUBLISH, 2, "lobby", "after")
            for peer in (listener, speaker):
                messages = [await peer.until(MESSAGE) for _ in range(2)]
                assert [(message[2], message[5]) for message in messages] == [(1, "before"), (2, "after")]
            listener.send(PING, 9)
            assert (await listener.receive())[:2] == [RESULT, 9]


MALFORMED = {
    "empty": b"",
    "never used": b"\xc1",
    "no array": b"\x01",
    "empty array": b"\x90",
    "no integer first": b"\x91\xa1a",
    "cut short": b"\x93\x10\x01",
    "trailing": b"\x92\x10\x01\x00",
    "bad utf-8": b"\x93\x03\x01\xa2\xff\xfe",
    "nested": b"\x94\x04\x01\xa1r" + b"\x91" * 5000 + b"\x00",
    "promised": b"\x94\x04\x01\xa1r\xdf\xff\xff\xff\xff",
    "wide": b"\x94\x04\x01\xa1r\xdc\x20\x00" + b"\x00" * 0x2000,
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_malformed_messages_get_300_and_the_third_ends_it(run: Runner, parts: Parts, payload: bytes) -> None:
    async def over_tcp(server: Server) -> None:
        async with dial(server, "tcp", "eve") as peer:
            for _ in range(3):
                peer.write(framed(payload))
                assert (await peer.receive())[:3] == [ERROR, 0, 300]
            assert (await peer.receive())[:2] == [BYE, 300]
            assert await peer.rest() == b""

    async def over_ws(server: Server) -> None:
        async with dial(server, "ws", "eve") as peer:
            peer.write(client_frame(BINARY, payload) * 3)
            for _ in range(3):
                assert (await peer.receive())[:3] == [ERROR, 0, 300]
            assert (await peer.receive())[:2] == [BYE, 300]
            assert await peer.close_code() == 4300

    run(unnoticed(over_tcp))
    run(unnoticed(over_ws))


REFUSED = {
    "unknown operation": ((99, 5), (301, 5, None)),
    "no operation ever": ((-1, 5), (301, 5, None)),
    "operation of a later version": ((19, 5, "lobby", 1, "x"), (301, 5, None)),
    "room missing": ((JOIN, 5), (302, 5, "room")),
    "room of another type": ((JOIN, 5, 7, {}), (302, 5, "room")),
    "not a member": ((PUBLISH, 5, "attic", "x"), (304, 5, None)),
    "connected already": ((CONNECT, 5, 1, {}), (309, 5, None)),
}


@pytest.mark.parametrize(("message", "expected"), REFUSED.values(), ids=REFUSED)
def test_wrong_commands_get_their_code_and_the_connection_stays(
    run: Runner, parts: Parts, message: tuple[Any, ...], expected: tuple[int, int, str | None]
) -> None:
    async def attack(server: Server) -> None:
        for wire in ("tcp", "ws", "json"):
            async with dial(server, wire, f"eve-{wire}") as peer:
                peer.send(*message)
                _, id, code, _, *opts = await peer.until(ERROR)
                field = opts[0].get("field") if opts else None
                assert (code, id, field) == expected
                peer.send(PING, 6)
                assert (await peer.receive())[:2] == [RESULT, 6]

    run(unnoticed(attack))


TOO_LARGE = {
    "promised": b"\x00\xff\xff\xff",
    "one over": (16 * 1024 + 1).to_bytes(4),
    "after a good one": tcp(PING, 0) + b"\x00\x10\x00\x00xxxx",
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_frame_over_the_limit_gets_bye_305_at_once(run: Runner, parts: Parts, data: bytes) -> None:
    async def attack(server: Server) -> None:
        async with dial(server, "tcp", "eve") as peer:
            peer.write(data)
            assert (await peer.until(BYE))[1] == 305
            assert await peer.rest() == b""

    run(unnoticed(attack))


def test_a_frame_of_exactly_the_limit_passes(run: Runner, parts: Parts) -> None:
    async def attack(server: Server) -> None:
        for wire in ("tcp", "ws"):
            async with dial(server, wire, f"eve-{wire}") as peer:
                data = b"x" * (1024 - len(pack(PUBLISH, 1, "attic", b"")) - 1)  # bin16 takes one byte more
                assert len(pack(PUBLISH, 1, "attic", data)) == 1024
                peer.send(PUBLISH, 1, "attic", data)
                assert (await peer.receive())[2] == 304
                peer.send(PUBLISH, 1, "attic", data + b"x")
                assert (await peer.until(BYE))[1] == 305

    run(unnoticed(attack, max_frame=1024))


EARLY = {
    "a command first": (tcp(JOIN, 5, "lobby", {}), [[ERROR, 5, 200]]),
    "a long command first": (tcp(PUBLISH, 5, "lobby", "x" * 1100), [[BYE, 305]]),
    "a long CONNECT": (tcp(CONNECT, 1, 1, {"name": "eve", "client": "x" * 9000}), [[BYE, 305]]),
    "another version": (tcp(CONNECT, 5, 0, {}), [[ERROR, 5, 306], [BYE, 306]]),
    "a taken name": (tcp(CONNECT, 5, 1, {"name": "BOB"}), [[ERROR, 5, 307]]),
    "no name at all": (tcp(CONNECT, 5, 1, {"name": "\u202e"}), [[ERROR, 5, 307]]),
}


@pytest.mark.parametrize(("data", "expected"), EARLY.values(), ids=EARLY)
def test_before_connect_everything_is_short_and_refused(
    run: Runner, parts: Parts, data: bytes, expected: list[list[Any]]
) -> None:
    async def attack(server: Server) -> None:
        async with dial(server) as peer:
            peer.write(data)
            for answer in expected:
                assert (await peer.receive())[: len(answer)] == answer
            if expected[-1][0] == BYE:
                assert await peer.rest() == b""

    run(unnoticed(attack))


HASTY = pack(PUBLISH, 5, "lobby", "x" * 1100)
HASTY_TEXT = b'[4,5,"lobby","' + b"x" * 1100 + b'"]'
UNREAD = {  # the length, and what tells that it is no CONNECT
    "tcp": ("tcp", framed(HASTY)[:6]),
    "tcp, a long CONNECT": ("tcp", (8 * 1024 + 1).to_bytes(4)),
    "ws": ("ws", client_frame(BINARY, HASTY)[:10]),
    "json": ("json", client_frame(TEXT, HASTY_TEXT)[:10]),
}


@pytest.mark.parametrize(("wire", "data"), UNREAD.values(), ids=UNREAD)
def test_before_connect_a_long_frame_is_refused_without_reading_it(
    run: Runner, parts: Parts, wire: str, data: bytes
) -> None:
    async def attack(server: Server) -> None:
        async with dial(server, wire) as peer:
            peer.write(data)
            assert (await asyncio.wait_for(peer.receive(), 5))[:2] == [BYE, 305]

    run(unnoticed(attack))


@pytest.mark.parametrize("wire", ["ws", "json"])
def test_before_connect_fragments_may_not_be_longer(run: Runner, parts: Parts, wire: str) -> None:
    async def attack(server: Server) -> None:
        kind, payload = (BINARY, HASTY) if wire == "ws" else (TEXT, HASTY_TEXT)
        async with dial(server, wire) as peer:
            peer.write(client_frame(kind, payload[:9], 0) + client_frame(0, payload[9:]))
            assert (await peer.receive())[:2] == [BYE, 305]

    run(unnoticed(attack))


def test_a_connection_that_ends_within_a_frame_is_simply_gone(run: Runner, parts: Parts) -> None:
    async def attack(server: Server) -> None:
        for data in (tcp(PUBLISH, 1, "lobby", "x")[:-1], b"\x00", b"\x00\x00\x00"):
            async with dial(server, "tcp", "eve") as peer:
                peer.write(data)
                peer.writer.write_eof()
                assert await peer.rest() == b""

    run(unnoticed(attack))


FOREIGN = [b"\x16\x03\x01\x02\x00", b"get / http/1.1\r\n\r\n", b"\xff" * 9, b"\x01", b"\n"]


@pytest.mark.parametrize("data", FOREIGN)
def test_what_is_neither_frame_nor_http_gets_bye_300(run: Runner, parts: Parts, data: bytes) -> None:
    async def attack(server: Server) -> None:
        async with dial(server) as peer:
            peer.write(data)
            assert (await peer.receive())[:2] == [BYE, 300]
            assert await peer.rest() == b""

    run(unnoticed(attack))


WRONG_FRAMES = {
    "unmasked": (b"\x82\x01x", 1002),
    "reserved bit": (client_frame(BINARY, b"x", 0xC0), 1002),
    "reserved opcode": (client_frame(3, b"x"), 1002),
    "fragmented ping": (client_frame(9, b"x", 0), 1002),
    "long ping": (client_frame(9, b"x" * 126), 1002),
    "endless ping": (b"\x89\xff\x7f" + b"\xff" * 7 + b"mask", 1002),
    "lonely continuation": (client_frame(0, b"x"), 1002),
    "length not minimal": (b"\x82\xfe\x00\x01maskx", 1002),
    "bad close code": (client_frame(CLOSE, (1005).to_bytes(2)), 1002),
    "close reason no text": (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "text no utf-8": (client_frame(TEXT, b'["\xff"]'), 1007),
    "proper close": (client_frame(CLOSE, (1001).to_bytes(2) + b"tab closed"), 1001),
}


@pytest.mark.parametrize(("data", "code"), WRONG_FRAMES.values(), ids=WRONG_FRAMES)
def test_wrong_websocket_frames_close_it_with_the_code_of_the_rfc(
    run: Runner, parts: Parts, data: bytes, code: int
) -> None:
    async def attack(server: Server) -> None:
        for wire in ("ws", "json"):
            async with dial(server, wire, f"eve-{wire}") as peer:
                peer.write(data + ws(PING, 1) * 3)
                assert await peer.close_code() == code

    run(unnoticed(attack))


def test_the_wrong_kind_of_message_is_malformed(run: Runner, parts: Parts) -> None:
    async def attack(server: Server) -> None:
        wrong = {"ws": client_frame(TEXT, b"[16,1]"), "json": client_frame(BINARY, pack(PING, 1))}
        for wire, data in wrong.items():
            async with dial(server, wire, f"eve-{wire}") as peer:
                for _ in range(3):
                    peer.write(data)
                    assert (await peer.receive())[:3] == [ERROR, 0, 300]
                assert (await peer.receive())[:2] == [BYE, 300]
                assert await peer.close_code() == 4300

    run(unnoticed(attack))


NO_JSON = [b"", b"nonsense", b"[16,1", b"[16,NaN]", b"[" * 3000, b'{"a":1}', b"[1e999]"]


@pytest.mark.parametrize("text", NO_JSON)
def test_what_is_no_json_message_is_malformed(run: Runner, parts: Parts, text: bytes) -> None:
    async def attack(server: Server) -> None:
        async with dial(server, "json", "eve") as peer:
            peer.write(client_frame(TEXT, text))
            assert (await peer.receive())[:3] == [ERROR, 0, 300]
            peer.send(PING, 7)
            assert (await peer.receive())[:2] == [RESULT, 7]

    run(unnoticed(attack))


LONG_MESSAGES = {
    "one frame": client_frame(BINARY, b"x" * (16 * 1024 + 1)),
    "fragments": client_frame(BINARY, b"x" * 16 * 1024, 0) + client_frame(0, b"x"),
    "promised": b"\x82\xff\x00\x00\x00\xff\x00\x00\x00\x00mask",
    "promised in a fragment": b"\x02\xff\x00\x00\x00\xff\x00\x00\x00\x00mask",
}


@pytest.mark.parametrize("data", LONG_MESSAGES.values(), ids=LONG_MESSAGES)
def test_a_message_over_the_limit_gets_bye_305_and_close_4305(run: Runner, parts: Parts, data: bytes) -> None:
    async def attack(server: Server) -> None:
        async with dial(server, "ws", "eve") as peer:
            peer.write(data)
            assert (await peer.receive())[:2] == [BYE, 305]
            assert await peer.close_code() == 4305

    run(unnoticed(attack))


def test_numbers_that_grow_beyond_the_limit_in_msgpack_are_too_large(run: Runner, parts: Parts) -> None:
    async def attack(server: Server) -> None:
        async with dial(server, "json", "eve") as peer:
            peer.write(client_frame(TEXT, b'[4,1,"r",[' + b",".join([b"1e9"] * 200) + b"]]"))
            assert (await peer.receive())[:2] == [BYE, 305]
            assert await peer.close_code() == 4305

    run(unnoticed(attack, max_frame=1024))


HANDSHAKES = {
    "another subprotocol": (upgrade("soap"), 400),
    "another origin": (upgrade(extra="Origin: https://evil.example\r\n"), 403),
    "no upgrade": (b"GET /ws HTTP/1.1\r\nHost: chat\r\n\r\n", 426),
    "no http": (b"GET /ws nonsense\r\n\r\n", 400),
    "long line": (upgrade(extra="X: " + "y" * 9000 + "\r\n"), 431),
    "endless": (b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 4000, 431),
    "endless line": (b"GET /ws?" + b"x" * 20000, 431),
}


@pytest.mark.parametrize(("data", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_bad_handshakes_get_an_http_answer_and_a_close(
    run: Runner, parts: Parts, data: bytes, status: int
) -> None:
    async def attack(server: Server) -> None:
        async with dial(server) as peer:
            peer.write(data)
            answer = await peer.rest()
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer

    run(unnoticed(attack))
