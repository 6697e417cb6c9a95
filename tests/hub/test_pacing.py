"""How fast one connection may send, whatever it sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastchat.config import MIB, RoomOptions
from fastchat.errors import Code
from fastchat.hub.limits import MOST_PAUSE_MS
from fastchat.hub.pacing import BYTES, COMMANDS, COMMANDS_RATE
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Command, Error, Leave, Ping, Pong, Publish, Result
from tests.hub.stage import Client, Stage, options

MS = int(1000 / COMMANDS_RATE)  # that one command takes


def paced(**given: Any) -> tuple[Stage, Client]:
    stage = Stage(options(rate_limits=True, **given))
    (ada,) = stage.join("ada")
    stage.now += 60_000
    return stage, ada


def full(ada: Client, count: int = COMMANDS) -> None:
    """Send what may come at once."""
    for _ in range(count // 16):
        ada.post(*(Pong(0) for _ in range(16)))
    assert not ada.pauses


@pytest.mark.parametrize("command", [Ping(1), Pong(0), Leave(1, "nowhere"), Block(1, "bob", True)])
def test_over_the_burst_reading_pauses_and_everything_is_answered(command: Command) -> None:
    stage, ada = paced()
    full(ada)
    found = ada.send(command, command)
    assert ada.pauses == [2 * MS]
    assert len([one for one in found if isinstance(one, Result | Error)]) == (0 if command == Pong(0) else 2)
    assert not any(isinstance(one, Error) and one.code == Code.RATE for one in found)


def test_who_keeps_the_pace_is_never_held_up() -> None:
    stage, ada = paced()
    for _ in range(2000):
        ada.send(Ping(1))
        stage.now += MS
    assert not ada.pauses


def test_another_connection_has_its_own() -> None:
    stage, ada = paced()
    (bob,) = stage.join("bob")
    full(ada)
    bob.send(Ping(1))
    assert not bob.pauses


def test_bytes_count_too() -> None:
    stage, ada = paced()
    long = b"\x93\x11\x00" + pack(b"x" * 16_000)
    for _ in range(BYTES // len(long)):
        ada.post(long)
    assert not ada.pauses
    ada.post(long)
    assert 0 < ada.pauses[0] <= 1000 * len(long) // MIB + 1


def test_frames_that_are_no_message_count_too() -> None:
    stage, ada = paced()
    full(ada)
    ada.session.count(3, 6, stage.now)
    assert ada.pauses == [3 * MS]


def test_no_pause_is_longer_than_told() -> None:
    stage, ada = paced()
    ada.post(*(Pong(0) for _ in range(9000)))
    assert ada.pauses == [MOST_PAUSE_MS]


def test_before_connect_it_counts_as_well() -> None:
    stage, _ = paced()
    eve = stage.new()
    eve.post(*(Pong(0) for _ in range(COMMANDS + 1)))
    assert eve.pauses == [MS]


def test_a_token_with_a_rate_of_its_own_is_not_held_up() -> None:
    stage, ada = paced()
    ada.session.identity = Identity("t:ada", Role.MEMBER, rate=1000.0, burst=2000)
    for _ in range(20):
        ada.send(*(Publish(0, "lobby", pack("x")) for _ in range(1000)))
        stage.now += 1000
    assert not ada.pauses


@pytest.mark.parametrize("given", [{"rate": 1000.0, "burst": 1000}, {"rate": 0.0}, {"join_rate": 0.0}])
def test_what_users_may_do_is_not_held_up(given: dict[str, Any]) -> None:
    stage, ada = paced(**given)
    for _ in range(20):
        ada.send(*(Ping(1) for _ in range(300)))
        stage.now += 300 if "rate" in given else 0
    assert not ada.pauses


def test_namespaces_add_up() -> None:
    rooms = {name: RoomOptions(rate=100.0, burst=200) for name in ("default", "game", "news")}
    wide = Stage(replace(options(rate_limits=True), rooms=rooms))
    (bob,) = wide.join("bob")
    bob.post(*(Pong(0) for _ in range(600)))
    assert not bob.pauses


def test_with_limits_off_nothing_is_counted() -> None:
    stage = Stage(options())
    (ada,) = stage.join("ada")
    ada.post(*(Pong(0) for _ in range(9000)))
    assert stage.hub.pacing is None and ada.session.paced is None
    assert not ada.pauses
