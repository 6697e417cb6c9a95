"""JOIN and LEAVE: exactly the messages behind the result's offset."""

from __future__ import annotations

import pytest

from fastchat.errors import Code
from fastchat.hub import hub as hub_module
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Gap, Join, Leave, Message, PresencePush, Publish, Result
from tests.hub.stage import START, Stage, options, texts


def test_a_fresh_room() -> None:
    client = Stage().new("ada")
    body = client.ask(Join, "lobby")
    assert body == {
        "epoch": "epoch.0", "offset": 0, "recovered": None, "messages": [], "members": 1
    }  # fmt: skip


def test_history_and_presence_are_given_when_asked_for() -> None:
    stage = Stage()
    bob = stage.join("bob")[0]
    bob.send(*(Publish(0, "lobby", pack(number)) for number in range(5)))
    body = stage.new("ada").ask(Join, "lobby", history=2, presence=True)
    assert body["messages"] == [[4, stage.now, "bob", 3, {}], [5, stage.now, "bob", 4, {}]]
    assert body["presence"] == [["bob", None, START], ["ada", None, stage.now]]
    assert (body["offset"], body["members"], body["recovered"]) == (5, 2, None)


def test_history_is_bounded_by_what_the_room_keeps() -> None:
    stage = Stage(options(history=3))
    bob = stage.join("bob")[0]
    bob.send(*(Publish(0, "lobby", pack(number)) for number in range(5)))
    assert len(stage.new("ada").ask(Join, "lobby", history=2**53 - 1)["messages"]) == 3


def test_recovery_and_then_live() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    epoch = ada.ask(Join, "lobby")["epoch"]
    ada.close()
    bob.send(*(Publish(0, "lobby", pack(number)) for number in range(1, 6)))
    ada = stage.new("ada")
    ada.post(Join(1, "lobby", since=(epoch, 2)))
    bob.post(Publish(0, "lobby", pack(6)))
    stage.flush()
    assert isinstance(ada.got[0], Result)
    assert ada.got[0].body["recovered"] is True
    assert [one[0] for one in ada.got[0].body["messages"]] == [3, 4, 5]
    assert [one.offset for one in ada.got[1:]] == [6]


def test_no_recovery_across_epochs_or_holes() -> None:
    stage = Stage(options(history=2))
    bob = stage.join("bob")[0]
    epoch = bob.ask(Join, "lobby")["epoch"]
    bob.send(*(Publish(0, "lobby", pack(number)) for number in range(5)))
    for since in ((epoch, 2), ("x", 5), (epoch, 9)):
        client = stage.new("c")
        body = client.ask(Join, "lobby", since=since, history=1)
        assert (body["recovered"], [one[0] for one in body["messages"]]) == (False, [5])
        client.close()


def test_the_result_comes_before_the_first_push() -> None:
    stage = Stage()
    ada = stage.new("ada")
    bob = stage.join("bob")[0]
    bob.post(Publish(0, "lobby", pack("before")))
    ada.post(Join(1, "lobby", presence=True))
    bob.post(Publish(0, "lobby", pack("after")))
    stage.flush()
    assert [type(one) for one in ada.got] == [Result, Message]
    assert ada.got[0].body["offset"] == 1 and ada.got[1].offset == 2


def test_a_member_who_joins_again_stays_one() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    bob.send(Publish(0, "lobby", pack("x")))
    ada.got.clear()
    body = ada.ask(Join, "lobby", since=("epoch.0", 0))
    assert (body["recovered"], len(body["messages"]), body["members"]) == (True, 1, 2)
    bob.send(Publish(0, "lobby", pack("y")))
    assert texts(ada.got) == ["y"]
    ada.ask(Leave, "lobby")
    assert len(stage.hub.rooms["lobby"].members) == 1


def test_joining_again_turns_presence_on_and_off() -> None:
    stage = Stage()
    ada = stage.join("ada")[0]
    stage.join("bob")
    assert ada.take(PresencePush) == []
    assert len(ada.ask(Join, "lobby", presence=True)["presence"]) == 2
    stage.join("carol")
    assert [one.joined[0].user for one in ada.take(PresencePush)] == ["carol"]
    assert "presence" not in ada.ask(Join, "lobby")
    stage.join("dave")
    assert ada.take(PresencePush) == []
    assert not stage.hub.rooms["lobby"].presence.watched


def test_a_session_may_be_in_so_many_rooms() -> None:
    stage = Stage(options(max_rooms=3))
    ada = stage.new("ada")
    for number in range(3):
        assert "epoch" in ada.ask(Join, f"room-{number}")
    refusal = ada.ask(Join, "one-more")
    assert refusal.code == Code.TOO_MANY_ROOMS and refusal.retry_ms
    assert "epoch" in ada.ask(Join, "room-1"), "joining again is not one more"
    assert sorted(stage.hub.rooms) == ["room-0", "room-1", "room-2"]
    ada.ask(Leave, "room-0")
    assert "epoch" in ada.ask(Join, "one-more")


def test_a_room_may_be_full() -> None:
    stage = Stage(options(members=2))
    ada, _ = stage.join("ada", "bob")
    carol = stage.new("carol")
    refusal = carol.ask(Join, "lobby")
    assert refusal.code == Code.ROOM_FULL and refusal.retry_ms
    assert "epoch" in ada.ask(Join, "lobby")
    ada.close()
    assert "epoch" in carol.ask(Join, "lobby")


def test_all_rooms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_ALL_ROOMS", 5)
    stage = Stage()
    ada, bob = stage.new("ada"), stage.new("bob")
    for number in range(5):
        ada.ask(Join, f"room-{number}")
    refusal = bob.ask(Join, "another")
    assert refusal.code == Code.TOO_MANY_ROOMS and refusal.retry_ms
    assert "epoch" in bob.ask(Join, "room-0")
    ada.close()
    assert "epoch" in bob.ask(Join, "another")


def test_leave() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    bob.post(Publish(0, "lobby", pack("still")))
    ada.post(Leave(1, "lobby"))
    bob.post(Publish(0, "lobby", pack("no more")))
    stage.flush()
    assert [type(one) for one in ada.got] == [Message, Result]
    assert ada.ask(Leave, "lobby").code == Code.NOT_A_MEMBER
    assert ada.ask(Publish, "lobby", pack("x")).code == Code.NOT_A_MEMBER


def test_an_empty_room_goes_and_its_history_stays() -> None:
    stage = Stage(options(history_seconds=60))
    ada = stage.join("ada")[0]
    ada.send(Publish(0, "lobby", pack("x")), Leave(0, "lobby"))
    assert not stage.hub.rooms
    body = ada.ask(Join, "lobby", since=("epoch.0", 0))
    assert body["recovered"] is True and len(body["messages"]) == 1
    ada.ask(Leave, "lobby")
    stage.pass_time(60_000)
    body = ada.ask(Join, "lobby", since=("epoch.0", 1))
    assert body["recovered"] is False and body["epoch"] != "epoch.0"


def test_a_long_recovery_is_cut_and_history_has_the_rest() -> None:
    stage = Stage(options(history_bytes=1 << 22))
    bob = stage.join("bob")[0]
    for _ in range(100):
        bob.send(Publish(0, "lobby", pack("x" * 15_000)))
    body = stage.new("ada").ask(Join, "lobby", since=("epoch.0", 0))
    assert body["recovered"] is True and body["more"] is True and body["offset"] == 100
    count = len(body["messages"])
    assert 60 < count < 75
    assert [one[0] for one in body["messages"]] == list(range(1, count + 1))


def test_a_long_history_is_cut_at_its_old_end() -> None:
    stage = Stage(options(history_bytes=1 << 22))
    bob = stage.join("bob")[0]
    for _ in range(100):
        bob.send(Publish(0, "lobby", pack("x" * 15_000)))
    body = stage.new("ada").ask(Join, "lobby", history=100)
    offsets = [one[0] for one in body["messages"]]
    assert body["more"] is True
    assert offsets == list(range(101 - len(offsets), 101)) and len(offsets) > 60


def test_a_large_room_gives_only_the_count() -> None:
    stage = Stage(options(presence_members=3))
    stage.join("a", "b", "c")
    body = stage.new("d").ask(Join, "lobby", presence=True)
    assert (body["members"], body["presence"]) == (4, [])


def test_what_is_hidden_or_expired_stands_as_a_tombstone() -> None:
    stage = Stage()
    ada, bob, carol = stage.join("ada", "bob", "carol")
    ada.ask(Block, "BOB", True)
    bob.send(Publish(0, "lobby", pack("hidden")))
    carol.send(Publish(0, "lobby", pack("short"), ttl_ms=500), Publish(0, "lobby", pack("long")))
    stage.pass_time(500)
    messages = ada.ask(Join, "lobby", history=9)["messages"]
    assert [one[2:] for one in messages] == [
        ["bob", None, {"hidden": True}],
        ["carol", None, {"expired": True}],
        ["carol", "long", {}],
    ]
    assert ada.take(Gap) == [Gap("lobby", 1, 1, "hidden")]
