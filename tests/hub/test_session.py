"""Sessions answer by the protocol's table, raise nothing and leave nothing behind."""

from __future__ import annotations

import pytest

from fastchat.broadcast import Wire
from fastchat.errors import Code, FrameError, ProtocolError
from fastchat.hub.commands import HANDLERS, TABLES
from fastchat.protocol.codec import OPS, encode_command, pack
from fastchat.protocol.messages import (
    Block,
    Bye,
    Command,
    Connect,
    Direct,
    Error,
    History,
    Join,
    Leave,
    Ping,
    PingPush,
    Pong,
    Presence,
    Publish,
    Result,
    Signal,
    State,
)
from fastchat.protocol.session import RULES, Phase
from tests.hub.stage import START, Stage, options

EACH: list[Command] = [
    Connect(7),
    Join(7, "lobby"),
    Leave(7, "lobby"),
    Publish(7, "lobby", pack("x")),
    Direct(7, "ada", pack("x")),
    History(7, "lobby"),
    Presence(7, "lobby"),
    State(7, "lobby", pack({})),
    Block(7, "ada", True),
    Signal(7, "ada", pack("x")),
    Ping(7),
    Pong(7),
]


@pytest.mark.parametrize("command", EACH, ids=lambda command: type(command).__name__)
def test_before_connect_only_what_the_table_allows(command: Command) -> None:
    stage = Stage()
    client = stage.new()
    errors = [Code(one.code) for one in client.send(command) if isinstance(one, Error)]
    allowed = RULES[Phase.NEW][OPS[type(command)]]
    assert errors == ([] if allowed is None else [allowed])
    assert client.open


@pytest.mark.parametrize("command", EACH, ids=lambda command: type(command).__name__)
def test_a_room_command_outside_the_room(command: Command) -> None:
    client = Stage().new("eve")
    errors = [Code(one.code) for one in client.send(command) if isinstance(one, Error)]
    outside = {
        Connect: Code.ALREADY_CONNECTED,
        Direct: Code.USER_NOT_ONLINE,
        Signal: Code.USER_NOT_ONLINE,
        **dict.fromkeys((Leave, Publish, History, Presence, State), Code.NOT_A_MEMBER),
    }
    expected = outside.get(type(command))
    assert errors == ([] if expected is None else [expected])
    assert client.session.connected


def test_every_command_of_this_version_has_a_handler_in_every_phase() -> None:
    assert set(HANDLERS) == set(OPS)
    for phase in Phase:
        assert set(TABLES[phase]) == set(OPS)


@pytest.mark.parametrize("op", [0, 19, 63, 99, 2**40, -1])
def test_unknown_operations_never_close(op: int) -> None:
    client = Stage().new("ada")
    for _ in range(10):
        answer = client.send(pack([int(op), 5, "lobby"]))
        assert [(one.id, one.code) for one in answer] == [(5, Code.UNKNOWN_OPERATION)]
    assert client.open


def test_three_malformed_frames_end_the_connection() -> None:
    client = Stage().new("ada")
    client.send(b"\xc1", encode_command(Ping(1)), pack({"a": 1}))
    assert [type(one) for one in client.got] == [Error, Result, Error]
    assert client.send(Ping(2)) and client.open
    last = client.send(b"", Ping(3))
    assert [one.code for one in last] == [Code.MALFORMED, Code.MALFORMED]
    assert isinstance(last[0], Error) and last[0].id == 0
    assert isinstance(last[1], Bye) and not last[1].reconnect
    assert client.code == Code.MALFORMED and not client.open


def test_what_is_refused_before_connect_is_counted() -> None:
    stage = Stage()
    client = stage.new()
    early = [Join(number, "lobby") for number in range(1, 10)]
    refused = [one.code for one in client.send(*early, Ping(1)) if isinstance(one, Error)]
    assert refused == [Code.CONNECT_FIRST] * 9 and client.open
    last = client.send(pack([99, 7]), Ping(2))
    assert [type(one) for one in last] == [Error, Bye]
    assert client.code == last[0].code == Code.UNKNOWN_OPERATION and not client.open
    many = stage.new()
    answers = many.send(*(Publish(number, "lobby", pack("x")) for number in range(1, 1000)))
    assert [type(one) for one in answers] == [Error] * 10 + [Bye] and many.code == Code.CONNECT_FIRST


def test_who_tries_some_names_is_let_in() -> None:
    stage = Stage()
    for number in range(9):
        stage.new(f"ada{number}")
    client = stage.new()
    for number in range(9):
        assert client.connect(f"ada{number}").code == Code.NAME_TAKEN
    assert client.connect("ada9")["user"] == "ada9"
    for _ in range(20):
        assert client.ask(Leave, "lobby").code == Code.NOT_A_MEMBER
    assert client.open


def test_malformed_json_counts_like_malformed_msgpack() -> None:
    stage = Stage()
    client = stage.new("ada", Wire.WS_JSON)
    for _ in range(3):
        client.session.malformed(ProtocolError(Code.MALFORMED, "not JSON"), stage.now)
    client.session.malformed(ProtocolError(Code.MALFORMED, "not JSON"), stage.now)
    stage.flush()
    assert [type(one) for one in client.got] == [Error, Error, Error, Bye]


def test_bad_arguments_are_no_strikes() -> None:
    client = Stage().new("ada")
    for _ in range(10):
        answer = client.send(pack([2, 5, "no room!"]))
        assert [(one.id, one.code, one.field) for one in answer] == [(5, Code.BAD_ARGUMENT, "room")]


def test_before_connect_only_connect_may_be_long() -> None:
    stage = Stage()
    client = stage.new()
    assert client.session.frame_limit(b"\x94\x01") == 8 * 1024
    assert client.session.frame_limit(b"\x94\x04") == 1024
    body = client.connect(client="x" * 5000)
    assert body["version"] == 1
    assert client.session.frame_limit(b"") == stage.config.max_frame
    other = stage.new()
    other.send(Ping(1), Publish(1, "lobby", pack("x" * 1100)), Ping(2))
    assert [type(one) for one in other.got] == [Result, Bye]
    assert other.code == Code.TOO_LARGE


def test_the_smaller_limit_holds_before_connect() -> None:
    assert Stage(options(max_frame=2048)).new().session.frame_limit(b"") == 2048


def test_broken_framing_ends_it() -> None:
    stage = Stage()
    client = stage.new("ada")
    client.session.refuse(FrameError(Code.TOO_LARGE, "a frame of 2 GB"), stage.now)
    stage.flush()
    assert client.got == [Bye(Code.TOO_LARGE, "a frame of 2 GB", False)]
    assert not client.open


def test_silence_ends_it() -> None:
    stage = Stage()
    client = stage.new("ada")
    client.session.ping(stage.now)
    client.session.timeout(stage.now)
    client.session.timeout(stage.now)
    stage.flush()
    assert [type(one) for one in client.got] == [PingPush, Bye]
    assert client.got[0] == PingPush(START)
    assert client.got[1].code == Code.TIMEOUT and client.got[1].reconnect and client.got[1].after_ms


def test_after_bye_nothing_is_answered() -> None:
    stage = Stage()
    client = stage.new("ada")
    client.session.timeout(stage.now)
    client.post(Ping(1), b"\xc1", Join(2, "lobby"))
    stage.flush()
    assert [type(one) for one in client.got] == [Bye]
    assert not stage.hub.rooms
    assert client.session.closing and not client.session.connected


def test_a_command_after_the_last_bye_in_the_same_batch_is_not_answered() -> None:
    client = Stage().new("ada")
    client.send(b"\xc1", b"\xc1", b"\xc1", encode_command(Ping(1)), encode_command(Join(2, "x")))
    assert [type(one) for one in client.got] == [Error, Error, Error, Bye]


def test_ping_and_pong() -> None:
    client = Stage().new("ada")
    assert client.send(Ping(1), Pong(0), Ping(0), Pong(5)) == [Result(1, {"time": START})]


def test_many_commands_in_one_batch_are_answered_in_order() -> None:
    client = Stage().new("ada")
    answers = client.send(*(Ping(number) for number in range(1, 65)))
    assert [one.id for one in answers] == list(range(1, 65))


def test_nothing_is_left_of_a_lost_connection() -> None:
    stage = Stage()
    client, other = stage.join("ada", "bob")
    client.send(Block(1, "eve", True), Join(2, "private", presence=True))
    for one in (client, other):
        one.close()
        one.close()
    hub = stage.hub
    assert (len(hub.sessions), len(hub.users), hub.rooms, hub.blocks.by) == (0, 0, {}, {})


def test_a_fault_of_ours_is_answered_with_internal_and_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")

    def broken(*_: object, **__: object) -> None:
        raise KeyError("what a user wrote")

    monkeypatch.setattr(stage.engine, "append", broken)
    answers = ada.send(Ping(1), Publish(2, "lobby", pack("x")), Ping(3))
    assert [(type(one), one.id) for one in answers] == [(Result, 1), (Error, 2), (Result, 3)]
    error = answers[1]
    assert (error.code, error.text) == (Code.INTERNAL, "internal error") and error.retry_ms
    assert [(what, type(fault)) for what, fault in stage.faults] == [("Publish", KeyError)]
    monkeypatch.undo()
    ada.send(Publish(0, "lobby", pack("y")))
    assert [one.data for one in bob.got] == ["y"]


def test_a_fault_before_connect_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    client = stage.new()

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setitem(client.session.handlers, Connect, broken)
    assert [one.code for one in client.send(Connect(1))] == [Code.INTERNAL]
    assert len(stage.faults) == 1


def test_every_temporary_error_says_when_to_try_again() -> None:
    client = Stage().new("ada")
    error = client.ask(Direct, "nobody", pack("x"))
    assert error.code == Code.USER_NOT_ONLINE and error.retry_ms == 1000
    error = client.ask(Leave, "nowhere")
    assert error.code == Code.NOT_A_MEMBER and error.retry_ms is None


@pytest.mark.parametrize("wire", Wire)
def test_all_wires_say_the_same(wire: Wire) -> None:
    stage = Stage()
    client = stage.new(wire=wire)
    assert client.connect("ada")["user"] == "ada"
    assert client.ask(Join, "lobby")["members"] == 1
    assert client.send(Publish(0, "lobby", pack({"text": "hi", "n": [1, None, b"\x00\xff"]})))[0].data == {
        "text": "hi", "n": [1, None, b"\x00\xff"]
    }  # fmt: skip
