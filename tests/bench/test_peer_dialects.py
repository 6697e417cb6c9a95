"""Each peer's dialect against a fake server that was written from the protocol's specification."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from fastchat.bench.dialects import BINARY, CLIENT, TEXT, Script, header
from fastchat.bench.peer_dialects import PEERS, remaining

from .fake_peers import PATIENCE, SPEAKS, Room, frame, serving
from .player import Player

SIZES = (32, 119, 125, 126, 200, 16_377, 16_378, 70_000)  # around where headers of WebSocket and MQTT grow
BETWEEN = {  # what may come in front of a delivery, and how many answers it asks for
    "ws-relay": (b"\x8a\x00" + b"\x89\x00", 1),
    "nats": (b'+OK\r\nPING\r\nINFO {"cluster":"a"}\r\n', 1),
    "redis": (b":3\r\n:12\r\n", 0),
    "mqtt": (b"\xd0\x00", 0),
    "socketio": (frame(0x81, b"2"), 1),
}
WRONG = {
    "nats": b"-ERR 'Slow Consumer'\r\n",
    "redis": b"-ERR unknown command\r\n",
    "socketio": frame(0x81, b"41"),
}


def payload(number: int, size: int) -> bytes:
    return b"%08d" % number + b"x" * (size - 8)


def relayed(script: Script, port: int, size: int, messages: int = 4) -> None:
    """Three members, of which two publish by turns: all receive everything, their own messages too."""
    with ExitStack() as leaving:
        members = [leaving.enter_context(Player(script, port, number)) for number in range(3)]
        for member in members:
            member.open()
        for number in range(messages):
            members[number % 2].publish(payload(number, size))
            assert [member.receive(size) for member in members] == [payload(number, size)] * 3


def answers(room: Room, wanted: int) -> int:
    """How often was answered, once as many as wanted have come or long enough was waited."""
    deadline = time.monotonic() + PATIENCE
    while room.answers < wanted and time.monotonic() < deadline:
        time.sleep(0.001)
    return room.answers


def test_every_dialect_has_a_fake_server() -> None:
    assert set(PEERS) == set(SPEAKS) == set(BETWEEN)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PEERS)
def test_a_message_reaches_everybody(name: str, size: int) -> None:
    with serving(name) as (port, _):
        relayed(PEERS[name]("room", port, size), port, size)


@pytest.mark.parametrize("name", PEERS)
def test_bytes_may_come_cut_anywhere(name: str) -> None:
    with serving(name, piece=3) as (port, _):
        relayed(PEERS[name]("room", port, 40), port, 40)


@pytest.mark.parametrize("name", PEERS)
def test_what_comes_between_is_passed_over_and_answered(name: str) -> None:
    between, asked = BETWEEN[name]
    with serving(name, between) as (port, room):
        relayed(PEERS[name]("room", port, 40), port, 40, messages=5)
        # The last delivery's question was read with it, so everybody has answered each of the five.
        assert answers(room, 5 * 3 * asked) == 5 * 3 * asked


@pytest.mark.parametrize("name", WRONG)
def test_an_error_is_not_passed_over(name: str) -> None:
    with serving(name, WRONG[name]) as (port, _):
        with Player(PEERS[name]("room", port, 40), port, 0) as member:
            member.open()
            member.publish(payload(0, 40))
            with pytest.raises(AssertionError, match="ERR|41"):
                member.receive(40)


@pytest.mark.parametrize("name", PEERS)
def test_what_is_none_of_its_frames_is_told(name: str) -> None:
    with serving(name, b"?") as (port, _), Player(PEERS[name]("room", port, 40), port, 0) as member:
        member.open()
        member.publish(payload(0, 40))
        with pytest.raises(AssertionError, match="nothing in the script begins like"):
            member.receive(40)


def test_only_nats_has_no_order_of_several_publishers() -> None:
    assert [name for name in PEERS if PEERS[name]("room", 1, 40).one_publisher] == ["nats"]


@pytest.mark.parametrize(
    "size, wanted",
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (2_097_152, "80808001")],
)
def test_the_lengths_of_mqtt(size: int, wanted: str) -> None:
    assert remaining(size).hex() == wanted  # the table of MQTT 3.1.1, section 2.2.3


def test_clients_of_mqtt_have_names_of_their_own() -> None:
    opening = PEERS["mqtt"]("room", 1, 40).opening[0].say
    assert opening.endswith(b"\x00\x08" + CLIENT)


@pytest.mark.parametrize("name", PEERS)
def test_the_name_of_the_room_is_said(name: str) -> None:
    script = PEERS[name]("hall", 1, 40)
    said = b"".join(step.say for step in script.opening)
    assert (b"hall" in said) == (not script.websocket)


def test_opcodes() -> None:
    assert PEERS["ws-relay"]("room", 1, 40).opcode == BINARY
    socketio = PEERS["socketio"]("room", 1, 40)
    assert socketio.opcode == TEXT
    event = socketio.publish.before + b"a" * 40 + socketio.publish.after
    assert json.loads(event[2:]) == ["m", "a" * 40]
    assert socketio.delivery.before == header(TEXT, len(event)) + socketio.publish.before
