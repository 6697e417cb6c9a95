"""Rooms with a radius: places come by STATE and go to nobody, and messages reach who is near."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat.broadcast import Wire
from fastchat.config import Config, Policy, RoomOptions
from fastchat.errors import Code, ConfigError
from fastchat.protocol import values
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Block,
    Edit,
    Error,
    History,
    Join,
    Leave,
    Message,
    Presence,
    PresencePush,
    Publish,
    State,
)
from fastchat.settings_checks import check
from tests.hub.stage import Stage, options, texts

HERE, NEAR, FAR = (0, 0), (30, 40), (51, 0)


def world(**given: Any) -> Stage:
    rooms = {"default": RoomOptions(), "world": RoomOptions(radius=50.0, **given)}
    return Stage(Config(rooms=rooms, rate_limits=False))


def at(client: Any, x: Any, y: Any, room: str = "world:1") -> Any:
    return client.ask(State, room, pack({"at": [x, y]}))


def players(stage: Stage, *places: tuple[float, float]) -> list[Any]:
    found = stage.join(*[f"p{i}" for i in range(len(places))], room="world:1")
    for one, place in zip(found, places, strict=True):
        assert at(one, *place) == {}
    return found


def test_who_is_near_hears_it() -> None:
    stage = world()
    ada, bob, eve = players(stage, HERE, NEAR, FAR)
    assert ada.ask(Publish, "world:1", pack("hello")) == {"offset": 0, "ts": stage.now}
    assert ada.take(Message) == [Message("world:1", 0, stage.now, "p0", "hello", {})]
    assert (texts(bob.got), texts(eve.got)) == (["hello"], [])
    bob.ask(Publish, "world:1", pack("both"), echo=False)
    assert (texts(ada.got), texts(bob.got), texts(eve.got)) == (["both"], ["hello"], ["both"])


def test_another_namespace_has_no_places() -> None:
    stage = world()
    ada, bob = stage.join("ada", "bob")
    ada.ask(Join, "lobby", presence=True)
    at(bob, 1, 2, "lobby")
    stage.pass_time(300)
    (push,) = ada.take(PresencePush)
    assert push.joined[0].state == {"at": [1, 2]}
    ada.ask(Publish, "lobby", pack("x"))
    assert texts(bob.got) == ["x"]


def test_who_is_nowhere_hears_nothing_and_reaches_nobody() -> None:
    stage = world()
    ada, bob = players(stage, HERE, HERE)
    (eve,) = stage.join("eve", room="world:1")
    ada.ask(Publish, "world:1", pack("1"))
    assert eve.ask(Publish, "world:1", pack("2"))["offset"] == 0
    bob.ask(State, "world:1", pack({"at": None}))
    ada.ask(Publish, "world:1", pack("3"))
    assert [texts(one.got) for one in (ada, bob, eve)] == [["1", "3"], ["1"], []]


def test_a_place_ends_with_the_membership() -> None:
    stage = world()
    ada, bob = players(stage, HERE, HERE)
    bob.ask(Leave, "world:1")
    bob.ask(Join, "world:1")
    ada.ask(Publish, "world:1", pack("1"))
    assert texts(bob.got) == []
    at(bob, *NEAR)
    ada.ask(Publish, "world:1", pack("2"))
    assert texts(bob.got) == ["2"]


def test_nothing_is_stored() -> None:
    stage = world()
    (ada,) = players(stage, HERE)
    for number in range(3):
        ada.ask(Publish, "world:1", pack(number))
    result = ada.ask(Join, "world:1", history=10)
    assert (result["offset"], result["messages"]) == (0, [])
    assert ada.ask(Join, "world:1", since=(result["epoch"], 0))["recovered"] is True
    assert ada.ask(History, "world:1")["messages"] == []
    assert ada.ask(Edit, "world:1", 1, pack("x")).code in (Code.NO_SUCH_MESSAGE, Code.UNKNOWN_OPERATION)


def test_a_key_counts_here_as_well() -> None:
    stage = world()
    ada, bob = players(stage, HERE, NEAR)
    first = ada.ask(Publish, "world:1", pack("x"), key="k")
    assert ada.ask(Publish, "world:1", pack("x"), key="k") == {**first, "duplicate": True}
    assert texts(bob.got) == ["x"]


def test_a_blocked_publisher_is_not_heard() -> None:
    stage = world()
    ada, bob, eve = players(stage, HERE, HERE, HERE)
    bob.ask(Block, "p0", True)
    ada.ask(Publish, "world:1", pack("x"))
    assert [texts(one.got) for one in (ada, bob, eve)] == [["x"], [], ["x"]]


def test_a_tick_brings_each_what_is_theirs() -> None:
    stage = world(coalesce_ms=50)
    ada, bob, eve = players(stage, HERE, NEAR, FAR)
    for number in range(4):
        one = (ada, bob, eve)[number % 3]
        one.post(Publish(0, "world:1", pack(number)))
    stage.flush()
    assert not texts(ada.got + bob.got + eve.got), "the tick is not over"
    stage.pass_time(100)
    assert [texts(one.got) for one in (ada, bob, eve)] == [[0, 1, 3], [0, 1, 2, 3], [1, 2]]


def test_what_has_expired_reaches_no_slow_one() -> None:
    stage = world(coalesce_ms=50)
    ada, bob = players(stage, HERE, NEAR)
    bob.reading = False
    ada.post(Publish(0, "world:1", pack("before")))
    stage.pass_time(100)
    ada.post(Publish(0, "world:1", pack("short"), ttl_ms=500), Publish(0, "world:1", pack("long")))
    stage.pass_time(2000)
    bob.read()
    stage.flush()
    assert (texts(ada.got), texts(bob.got)) == (["before", "short", "long"], ["before", "long"])
    assert stage.broadcaster.stats().expired == 1


@pytest.mark.parametrize("policy", list(Policy))
def test_a_slow_one_pays_alone(policy: Policy) -> None:
    stage = world(policy=policy)
    ada, bob, eve = players(stage, HERE, NEAR, NEAR)
    bob.reading = False
    for _ in range(200):
        ada.post(Publish(0, "world:1", pack("x" * 10_000)))
        stage.flush()
    stage.flush()
    assert len(texts(ada.got)) == len(texts(eve.got)) == 200
    assert bob.outbox.pending <= stage.config.outbox_bytes
    assert bob.session.closing is (policy is Policy.DISCONNECT)


def test_over_every_wire() -> None:
    stage = world()
    clients = []
    for wire in Wire:
        one = stage.new(wire.name, wire)
        one.ask(Join, "world:1")
        at(one, 1.5, -2)
        clients.append(one)
    clients[0].ask(Publish, "world:1", pack({"x": [1, 2.5]}))
    assert [texts(one.got) for one in clients] == [[{"x": [1, 2.5]}]] * 3


def test_a_place_is_no_presence() -> None:
    stage = world()
    ada, bob = players(stage, HERE, HERE)
    ada.ask(Join, "world:1", presence=True)
    stage.pass_time(300)
    ada.got.clear()
    at(bob, 5, 5)
    stage.pass_time(300)
    assert ada.take(PresencePush) == []
    bob.ask(State, "world:1", pack({"typing": True, "at": [300, 0], "hp": {"at": 7}}))
    stage.pass_time(300)
    (push,) = ada.take(PresencePush)
    assert push.joined[0].state == {"typing": True, "hp": {"at": 7}}
    at(bob, 1, 1)
    states = {name: state for name, state, _ in ada.ask(Presence, "world:1")["members"]}
    assert states == {"p0": None, "p1": {"typing": True, "hp": {"at": 7}}}, "moving leaves the state alone"
    bob.ask(State, "world:1", pack({}))
    stage.pass_time(300)
    assert ada.take(PresencePush)[0].joined[0].state is None
    ada.ask(Publish, "world:1", pack("x"))
    assert texts(bob.got) == ["x"], "an empty state leaves the place alone"


WRONG = [
    [], [1], [1, 2, 3], {}, "1,2", 7, True, [True, 1], [1, "2"], [None, 1], [[1], 2], [1e9 * 1.01, 0],
    [0, 2**63], [float("nan"), 0], [0, float("inf")], [0, -float("inf")],
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("more", [{}, {"typing": True}], ids=["alone", "with more"])
def test_a_place_that_is_none(wrong: Any, more: dict[str, Any]) -> None:
    stage = world()
    ada, bob = players(stage, HERE, HERE)
    refusal = bob.ask(State, "world:1", pack({"at": wrong, **more}))
    assert isinstance(refusal, Error)
    assert (refusal.code, refusal.field) == (Code.BAD_ARGUMENT, "state")
    ada.ask(Publish, "world:1", pack("x"))
    assert texts(bob.got) == ["x"], "still where he was"
    assert {state for _, state, _ in ada.ask(Presence, "world:1")["members"]} == {None}
    assert not stage.faults


def test_of_two_places_the_last_counts() -> None:
    stage = world()
    ada, bob = players(stage, HERE, HERE)
    twice = b"\x82" + pack("at") + pack([999, 999]) + pack("at") + pack([1, 1])
    assert bob.ask(State, "world:1", twice) == {}
    ada.ask(Publish, "world:1", pack("x"))
    assert texts(bob.got) == ["x"]


def test_who_is_no_member_is_nowhere() -> None:
    stage = world()
    (ada,) = players(stage, HERE)
    eve = stage.new("eve")
    assert at(eve, 0, 0).code == Code.NOT_A_MEMBER


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.one_of(st.text(max_size=40), st.integers(-(2**40), 2**40)),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary()),
            lambda inner: st.one_of(st.lists(inner, max_size=20), st.dictionaries(st.text(), inner)),
            max_leaves=20,
        ),
        max_size=20,
    )
)
def test_a_map_is_cut_at_its_entries(entries: dict[Any, Any]) -> None:
    packed = pack(entries)
    cut = values.pairs(packed)
    assert values.map_of(cut) == packed
    assert cut == [(pack(key), pack(value)) for key, value in entries.items()]


def test_the_radius_of_the_settings() -> None:
    for radius in (0.0, 0.001, 50.0, 1e9):
        check(options(radius=radius))
    for radius, words in ((1e-4, "0 or at least"), (-1.0, "at least 0"), (2e9, "at most")):
        with pytest.raises(ConfigError, match=words):
            check(options(radius=radius))
