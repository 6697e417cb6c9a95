"""PUBLISH: one order, no silent loss, idempotent with a key, bounded."""

from __future__ import annotations

import pytest

from fastchat.config import Policy
from fastchat.errors import Code
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Error, Gap, History, Join, Message, Publish, Result
from tests.hub.stage import Stage, options, places, texts


def test_everybody_sees_one_order() -> None:
    stage = Stage()
    clients = stage.join("ada", "bob", "carol")
    for number in range(30):
        clients[number % 3].post(Publish(0, "lobby", pack(number)))
        if number % 7 == 0:
            stage.flush()
    stage.flush()
    assert [one.offset for one in clients[0].got] == list(range(1, 31))
    assert clients[0].got == clients[1].got == clients[2].got


def test_the_message_and_the_result() -> None:
    stage = Stage()
    ada, bob = stage.join("Ada", "bob")
    assert ada.ask(Publish, "lobby", pack({"type": "image", "url": "x"})) == {"offset": 1, "ts": stage.now}
    expected = Message("lobby", 1, stage.now, "Ada", {"type": "image", "url": "x"}, {})
    assert bob.got == [expected]
    assert ada.take(Message) == [expected]


def test_data_is_relayed_byte_for_byte() -> None:
    """Forms that msgpack has for the same value stay what they were."""
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    arrived: list[bytes] = []
    write = bob.write

    def keep(data: bytes) -> None:
        arrived.append(data)
        write(data)

    bob.write = keep
    data = b"\xdd\x00\x00\x00\x02\xcd\x00\x01\xd9\x01a"
    ada.send(b"\x94\x04\x00\xa5lobby" + data)
    assert data in arrived[0]


def test_id_0_asks_for_no_result_but_errors_come() -> None:
    stage = Stage()
    ada = stage.join("ada")[0]
    assert [type(one) for one in ada.send(Publish(0, "lobby", pack("x")))] == [Message]
    answer = ada.send(Publish(0, "nowhere", pack("x")))
    assert [(one.id, one.code) for one in answer] == [(0, Code.NOT_A_MEMBER)]


def test_without_echo_the_result_has_the_offset() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    answers = ada.send(Publish(5, "lobby", pack("x"), echo=False))
    assert answers == [Result(5, {"offset": 1, "ts": stage.now})]
    assert texts(bob.got) == ["x"]


def test_without_echo_and_result_a_gap_tells_the_offset() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    assert ada.send(Publish(0, "lobby", pack("x"), echo=False)) == [Gap("lobby", 1, 1, "hidden")]
    assert texts(bob.got) == ["x"]
    assert ada.send(Publish(0, "lobby", pack("y"), echo=False, ephemeral=True)) == []


def test_ephemeral_is_not_stored() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    assert ada.ask(Publish, "lobby", pack("x"), ephemeral=True) == {"offset": 0, "ts": stage.now}
    assert bob.got == [Message("lobby", 0, stage.now, "ada", "x", {"ephemeral": True})]
    assert ada.ask(History, "lobby")["messages"] == []
    assert ada.ask(Publish, "lobby", pack("y"))["offset"] == 1


def test_a_key_makes_it_idempotent() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    first = ada.ask(Publish, "lobby", pack("x"), key="k")
    stage.pass_time(1000)
    again = ada.ask(Publish, "lobby", pack("x"), key="k")
    assert again == {**first, "duplicate": True}
    assert bob.got == [Message("lobby", 1, first["ts"], "ada", "x", {"key": "k"})]
    assert "duplicate" not in bob.ask(Publish, "lobby", pack("x"), key="k"), "keys are a user's own"


def test_a_key_counts_across_connections_of_the_name() -> None:
    stage = Stage()
    ada, _ = stage.join("Ada", "bob")
    ada.ask(Publish, "lobby", pack("x"), key="k")
    ada.close()
    ada = stage.join("ada")[0]
    assert ada.ask(Publish, "lobby", pack("x"), key="k")["duplicate"] is True


def test_keys_are_bounded() -> None:
    stage = Stage(options(idempotency_bytes=8000))
    ada = stage.join("ada")[0]
    answers = [ada.ask(Publish, "lobby", pack("x"), key=str(number)) for number in range(40)]
    refused = [one for one in answers if isinstance(one, Error)]
    assert refused and refused[0].code == Code.OVERLOADED and refused[0].retry_ms
    assert "offset" in ada.ask(Publish, "lobby", pack("x"))
    stage.pass_time(301_000)
    assert "offset" in ada.ask(Publish, "lobby", pack("x"), key="new")


def test_a_blocked_users_messages_are_hidden_and_announced() -> None:
    stage = Stage()
    ada, bob, carol = stage.join("ada", "bob", "carol")
    assert ada.ask(Block, "bob", True) == {}
    bob.send(Publish(0, "lobby", pack("one")))
    carol.send(Publish(0, "lobby", pack("two")))
    assert [type(one) for one in ada.got if not isinstance(one, Result)] == [Gap, Message]
    assert places(ada.got, "lobby") == [1, 2]
    assert texts(carol.got) == ["one", "two"]
    bob.send(Publish(0, "lobby", pack("e"), ephemeral=True))
    assert places(ada.got, "lobby") == [1, 2]
    ada.ask(Block, "bob", False)
    bob.send(Publish(0, "lobby", pack("three")))
    assert texts(ada.got) == ["two", "three"]


def test_who_blocks_but_is_not_in_the_room_is_told_nothing() -> None:
    stage = Stage()
    bob = stage.join("bob")[0]
    ada = stage.new("ada")
    ada.ask(Block, "bob", True)
    ada.got.clear()
    bob.send(Publish(0, "lobby", pack("x")))
    assert ada.got == []


def test_a_full_batch_refuses_before_an_offset_is_given() -> None:
    stage = Stage(options(batch_bytes=20_000))
    ada, bob = stage.join("ada", "bob")
    ada.post(*(Publish(number + 1, "lobby", pack("x" * 3000)) for number in range(10)))
    stage.flush()
    refused = [one for one in ada.got if isinstance(one, Error)]
    stored = [one for one in ada.got if isinstance(one, Result)]
    assert refused and all(one.code == Code.OVERLOADED and one.retry_ms for one in refused)
    assert [one.body["offset"] for one in stored] == list(range(1, len(stored) + 1))
    assert [one.offset for one in bob.got] == list(range(1, len(stored) + 1))
    assert "offset" in ada.ask(Publish, "lobby", pack("x")), "the next flush made room"


def test_what_could_not_be_queued_after_all_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    room = stage.hub.rooms["lobby"]
    members = room.members

    class Refusing:
        """Refuses once what it said it would take."""

        def __init__(self) -> None:
            self.refused = False

        def put(self, payload: bytes, offset: int = 0, **given: object) -> bool:
            if offset and not self.refused:
                self.refused = True
                return False
            return members.put(payload, offset, **given)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(members, name)

        def __len__(self) -> int:
            return len(members)

    room.members = Refusing()  # type: ignore[assignment]
    assert ada.ask(Publish, "lobby", pack("lost"))["offset"] == 1
    bob.send(Publish(0, "lobby", pack("next")))
    room.members = members
    assert bob.got == [Gap("lobby", 1, 1, "slow"), Message("lobby", 2, stage.now, "bob", "next", {})]


def test_what_waited_too_long_is_dropped() -> None:
    stage = Stage(options(policy=Policy.DROP))
    ada, bob = stage.join("ada", "bob")
    bob.reading = False
    ada.send(Publish(0, "lobby", pack("first")))  # the transport has this one
    ada.send(Publish(0, "lobby", pack("short"), ttl_ms=200), Publish(0, "lobby", pack("long")))
    stage.pass_time(300)
    bob.read()
    stage.flush()
    assert texts(bob.got) == ["first", "long"]
    assert places(bob.got, "lobby") == [1, 2, 3]
    assert texts(ada.got) == ["first", "short", "long"]


def test_what_the_tick_held_back_too_long_is_dropped_and_counted() -> None:
    stage = Stage(options(coalesce_ms=500))
    ada, bob = stage.join("ada", "bob")
    for text, given in (("short", {"ttl_ms": 50}), ("gone", {"ttl_ms": 50, "ephemeral": True}), ("long", {})):
        ada.post(Publish(0, "lobby", pack(text), **given))
    stage.pass_time(600)
    assert bob.got == [Gap("lobby", 1, 1, "expired"), Message("lobby", 2, stage.now - 600, "ada", "long", {})]
    assert stage.broadcaster.stats().expired == 4


def test_a_slow_consumer_is_cut_and_the_others_do_not_notice() -> None:
    stage = Stage(options(outbox_bytes=50_000))
    ada, bob, carol = stage.join("ada", "bob", "carol")
    bob.reading = False
    for _ in range(100):
        ada.send(Publish(0, "lobby", pack("x" * 1000)))
    assert bob.code == Code.SLOW_CONSUMER
    assert places(carol.got, "lobby") == list(range(1, 101))
    assert ada.ask(Join, "lobby")["members"] == 2
    assert stage.broadcaster.total < 200_000


def test_a_room_with_a_tick_waits_for_it() -> None:
    stage = Stage(options(coalesce_ms=50))
    ada, bob = stage.join("ada", "bob")
    stage.pass_time(20)
    ada.send(Publish(1, "lobby", pack("x")))
    assert bob.got == []
    assert [type(one) for one in ada.got] == [Result]
    stage.pass_time(100)
    assert texts(bob.got) == ["x"]
