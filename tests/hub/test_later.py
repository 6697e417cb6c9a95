"""An engine that answers later: order, acknowledgement and membership hold, whoever dies meanwhile."""

from __future__ import annotations

import pytest

from fastchat.errors import Code
from fastchat.hub.limits import MAX_HELD, MAX_READS, MAX_WAITING
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Bye,
    Connect,
    Error,
    Gap,
    History,
    Join,
    Leave,
    Message,
    Ping,
    Publish,
    Result,
)
from tests.engine.later import LaterEngine
from tests.hub.stage import Client, Stage, options, places, texts


class LaterStage(Stage):
    """A stage whose engine answers when it is told to."""

    engine: LaterEngine

    def __init__(self, **given: object) -> None:
        config = options(**given)
        super().__init__(config, engine=LaterEngine(config))

    def answer(self, count: int = 1 << 30) -> None:
        self.engine.answer(count)
        self.flush()

    def fail(self, count: int = 1 << 30) -> None:
        self.engine.fail(count)
        self.flush()

    def members(self, *names: str) -> list[Client]:
        found = []
        for name in names:
            one = self.new()
            one.post(Connect(1, name=name, rooms={"lobby": None}))
            self.answer()
            found.append(one)
        for one in found:
            one.got.clear()
        return found


def test_nothing_is_seen_before_it_is_stored() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    assert ada.send(Publish(1, "lobby", pack("x"))) == [] == bob.got
    stage.answer()
    assert texts(bob.got) == ["x"]
    assert Result(1, {"offset": 1, "ts": stage.now}) in ada.got


def test_the_rooms_order_is_kept() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    for number in range(20):
        (ada, bob)[number % 2].post(Publish(number + 1, "lobby", pack(number)))
    while stage.engine.waiting:
        stage.answer(3)
    assert texts(ada.got) == texts(bob.got) == list(range(20))
    assert places(ada.got, "lobby") == list(range(1, 21))


def test_a_failure_is_103_and_leaves_no_hole() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("a")), Publish(2, "lobby", pack("b")), Publish(3, "lobby", pack("c")))
    stage.answer(1)
    stage.fail(1)
    stage.answer()
    errors = [one for one in ada.got if isinstance(one, Error)]
    assert [(one.id, one.code, one.retry_ms) for one in errors] == [(2, Code.STORE_UNAVAILABLE, 500)]
    assert texts(bob.got) == ["a", "c"] and places(bob.got, "lobby") == [1, 2]
    assert stage.hub.rooms["lobby"].busy == stage.hub.rooms["lobby"].storing_bytes == 0


def test_a_publisher_that_dies_is_still_heard() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("last words")))
    ada.close()
    stage.answer()
    assert [(one.user, one.data) for one in bob.take(Message)] == [("ada", "last words")]
    ada.post(Publish(1, "lobby", pack("x")))
    assert not stage.faults


def test_a_publisher_that_leaves_is_still_heard_and_answered() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.send(Publish(1, "lobby", pack("x"), echo=False), Publish(0, "lobby", pack("y"), echo=False))
    ada.send(Leave(2, "lobby"))
    stage.answer()
    assert texts(bob.got) == ["x", "y"]
    assert [type(one) for one in ada.got] == [Result, Result], "no GAP of a room that was left"


def test_a_room_stays_while_something_of_it_is_under_way() -> None:
    stage = LaterStage()
    (ada,) = stage.members("ada")
    ada.post(Publish(1, "lobby", pack("x")))
    ada.close()
    assert "lobby" in stage.hub.rooms
    bob = stage.new()
    bob.post(Connect(1, name="bob", rooms={"lobby": ("later.0", 0)}))
    stage.answer()
    body = bob.take(Result)[0].body["rooms"]["lobby"]
    seen = [one[3] for one in body["messages"]] + texts(bob.got)
    assert seen == ["x"]
    bob.close()
    assert not stage.hub.rooms


def test_the_last_outcome_lets_the_empty_room_go() -> None:
    for finish in (LaterStage.answer, LaterStage.fail):
        stage = LaterStage()
        (ada,) = stage.members("ada")
        ada.post(Publish(1, "lobby", pack("x")), Publish(2, "lobby", pack("y")))
        ada.close()
        finish(stage, 1)
        assert "lobby" in stage.hub.rooms
        finish(stage)
        assert not stage.hub.rooms and not stage.faults


@pytest.mark.parametrize("answered_between", [0, 1, 2, 3])
def test_a_member_gets_exactly_what_is_behind_its_result(answered_between: int) -> None:
    stage = LaterStage()
    ada, *_ = stage.members("ada")
    bob = stage.new()
    bob.post(Connect(1, name="bob"))
    ada.post(Publish(0, "lobby", pack("1")))
    bob.post(Join(2, "lobby", since=("later.0", 0)))
    ada.post(Publish(0, "lobby", pack("2")))
    stage.answer(answered_between)
    ada.post(Publish(0, "lobby", pack("3")))
    stage.answer()
    bob.take(Result)[:1]
    joined = [one for one in bob.got if isinstance(one, Message)]
    assert [one.data for one in joined] == ["2", "3"]
    assert not stage.faults


def test_publishing_right_behind_a_join() -> None:
    """The order of one client's commands holds though none of them is answered yet."""
    stage = LaterStage()
    ada = stage.new()
    ada.post(Connect(1, name="ada"))
    ada.post(Join(2, "lobby"), Publish(3, "lobby", pack("x")), History(4, "lobby"))
    assert ada.got == [] or all(one.id == 1 for one in ada.got if isinstance(one, Result))
    stage.answer()
    kinds = [(type(one).__name__, getattr(one, "id", None)) for one in ada.got]
    assert kinds == [("Result", 1), ("Result", 2), ("Message", None), ("Result", 3), ("Result", 4)]
    assert [one.body["messages"] for one in ada.got if isinstance(one, Result) and one.id == 4] == [
        [[1, stage.now, "ada", "x", {}]]
    ]


def test_leaving_before_the_join_is_answered() -> None:
    stage = LaterStage()
    ada = stage.new("ada")
    ada.post(Join(2, "lobby"), Leave(3, "lobby"))
    stage.answer()
    answers = {one.id: one for one in ada.got if isinstance(one, Result | Error)}
    assert isinstance(answers[2], Error) and answers[2].code == Code.NOT_A_MEMBER
    assert isinstance(answers[3], Result)
    assert not stage.hub.rooms and ada.session.entering is None


def test_joining_leaving_and_joining_again_at_once() -> None:
    stage = LaterStage()
    ada = stage.new("ada")
    ada.post(Join(2, "lobby"), Leave(3, "lobby"), Join(4, "lobby"), Join(5, "lobby"))
    stage.answer()
    assert sorted(one.id for one in ada.got if isinstance(one, Result)) == [2, 3, 4, 5]
    assert len(stage.hub.rooms["lobby"].members) == 1
    assert stage.hub.rooms["lobby"].entering == 0


def test_a_join_that_fails() -> None:
    stage = LaterStage()
    ada = stage.new("ada")
    ada.post(Join(2, "lobby"))
    stage.fail()
    assert [(one.id, one.code) for one in ada.got] == [(2, Code.STORE_UNAVAILABLE)]
    assert not stage.hub.rooms and ada.session.entering is None
    ada.post(Join(3, "lobby"), History(4, "lobby"))
    stage.answer(1)
    stage.fail(1)
    assert [type(one) for one in ada.got[1:]] == [Result, Error]


def test_a_client_that_dies_while_it_joins() -> None:
    for finish in (LaterStage.answer, LaterStage.fail):
        stage = LaterStage()
        ada = stage.new("ada")
        ada.post(Join(2, "lobby"), History(3, "lobby"), Publish(4, "lobby", pack("x")))
        ada.close()
        finish(stage)
        assert not stage.hub.rooms and not stage.faults


def test_rooms_on_their_way_count_against_the_limits() -> None:
    stage = LaterStage(max_rooms=2, members=1)
    ada, bob = stage.new("ada"), stage.new("bob")
    ada.post(Join(1, "a"), Join(2, "b"), Join(3, "c"))
    bob.post(Join(1, "a"))
    stage.answer()
    assert [one.code for one in ada.take(Error)] == [Code.TOO_MANY_ROOMS]
    assert [one.code for one in bob.take(Error)] == [Code.ROOM_FULL]


def test_connect_waits_for_its_rooms_and_holds_what_follows() -> None:
    stage = LaterStage()
    ada = stage.new()
    ada.send(Connect(1, name="ada", rooms={"lobby": None}), Ping(2), Publish(3, "lobby", pack("x")))
    assert ada.got == [] and not ada.session.connected
    stage.answer(1)
    assert [one.id for one in ada.take(Result)] == [1, 2]
    assert ada.session.connected
    stage.answer()
    assert [one.id for one in ada.take(Result)] == [3]


def test_what_waits_for_connect_is_bounded() -> None:
    stage = LaterStage()
    ada = stage.new()
    ada.post(Connect(1, name="ada", rooms={"lobby": None}))
    ada.post(*(Ping(number) for number in range(1, MAX_HELD + 2)))
    stage.flush()
    assert [type(one) for one in ada.got] == [Bye] and ada.code == Code.MALFORMED
    stage.answer()
    assert not stage.hub.rooms and not stage.hub.sessions and not stage.faults


def test_connect_succeeds_without_its_rooms_when_the_store_is_away() -> None:
    stage = LaterStage()
    ada = stage.new()
    ada.post(Connect(1, name="ada", rooms={"lobby": None, "b": None}))
    stage.fail()
    (result,) = ada.take(Result)
    assert {room: body["error"][0] for room, body in result.body["rooms"].items()} == {
        "lobby": Code.STORE_UNAVAILABLE, "b": Code.STORE_UNAVAILABLE
    }  # fmt: skip
    assert ada.session.connected and not stage.hub.rooms


def test_a_client_that_dies_while_it_connects() -> None:
    for finish in (LaterStage.answer, LaterStage.fail):
        stage = LaterStage()
        ada = stage.new()
        ada.post(Connect(1, name="ada", rooms={"lobby": None}))
        ada.close()
        finish(stage)
        assert not stage.hub.rooms and not len(stage.hub.users) and not stage.faults


def test_what_is_under_way_finds_room_in_the_batch() -> None:
    """However late the store answers, a stored message is never refused by a full batch."""
    stage = LaterStage(batch_bytes=20_000)
    ada, bob = stage.members("ada", "bob")
    for number in range(1, 11):
        ada.post(Publish(number, "lobby", pack("x" * 3000)))
    stage.flush()
    refused = len(ada.take(Error))
    assert 3 <= refused <= 5
    stage.answer()
    assert places(bob.got, "lobby") == list(range(1, 11 - refused))
    assert bob.take(Gap) == []


def test_keys_across_what_is_under_way() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("x"), key="k"), Publish(2, "lobby", pack("x"), key="k"))
    stage.answer()
    results = ada.take(Result)
    assert [one.body.get("duplicate", False) for one in results] == [False, True]
    assert texts(bob.got) == ["x"]


def test_what_the_store_held_back_too_long_is_dropped() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("short"), ttl_ms=200), Publish(2, "lobby", pack("long")))
    stage.pass_time(300)
    stage.answer()
    assert [one.body["offset"] for one in ada.take(Result)] == [1, 2]
    assert bob.take(Gap) == [Gap("lobby", 1, 1, "expired")] and texts(bob.got) == ["long"]
    assert stage.broadcaster.stats().expired == 2
    bob.post(History(1, "lobby"))
    stage.answer()
    assert bob.take(Result)[0].body["messages"][0][3:] == [None, {"expired": True}]


def test_a_fault_of_ours_in_a_late_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("x")), Publish(2, "lobby", pack("y")))
    with monkeypatch.context() as patch:
        patch.setattr("fastchat.hub.publishing.message", None)
        stage.answer(1)
    stage.answer()
    assert [(one.id, one.code) for one in ada.take(Error)] == [(1, Code.INTERNAL)]
    assert len(stage.faults) == 1
    assert texts(bob.got) == ["y"]
    assert stage.hub.rooms["lobby"].busy == 0


def test_a_room_stays_while_its_history_is_being_read() -> None:
    for finish in (LaterStage.answer, LaterStage.fail):
        stage = LaterStage()
        (ada,) = stage.members("ada")
        ada.post(History(1, "lobby"), Leave(2, "lobby"))
        assert "lobby" in stage.hub.rooms
        finish(stage)
        assert not stage.hub.rooms and not stage.faults
        assert sorted(one.id for one in ada.got if isinstance(one, Result | Error)) == [1, 2]


def test_the_engine_is_asked_for_few_histories_at_a_time() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    for id in range(1, 21):
        ada.post(History(id, "lobby"))
    bob.post(History(1, "lobby"))
    stage.flush()
    assert len(stage.engine.waiting) == MAX_READS + 1, "one's many do not stand before another's"
    refused = [(one.id, one.code, bool(one.retry_ms)) for one in ada.got if isinstance(one, Error)]
    assert refused == [(19, Code.RATE, True), (20, Code.RATE, True)]
    while stage.engine.waiting:
        stage.answer(1)
    answered = [one.id for one in ada.got if isinstance(one, Result)]
    assert answered == list(range(1, MAX_READS + MAX_WAITING + 1)), "the others lose nothing, in their order"
    assert stage.hub.rooms["lobby"].busy == 0 and not stage.faults


def test_histories_that_wait_end_with_the_session() -> None:
    stage = LaterStage()
    (ada,) = stage.members("ada")
    for id in range(1, 11):
        ada.post(History(id, "lobby"))
    ada.session.lost(stage.now)
    assert len(stage.engine.waiting) == MAX_READS and "lobby" in stage.hub.rooms
    stage.answer()
    assert not stage.engine.waiting and not stage.hub.rooms and not stage.faults


def test_histories_that_wait_are_refused_as_the_engine_fails() -> None:
    stage = LaterStage()
    (ada,) = stage.members("ada")
    for id in range(1, 11):
        ada.post(History(id, "lobby"))
    while stage.engine.waiting:
        stage.fail()
    assert [one.id for one in ada.got if isinstance(one, Error)] == list(range(1, 11))
    assert stage.hub.rooms["lobby"].busy == 0
    ada.post(History(11, "lobby"))
    stage.answer()
    assert isinstance(ada.got[-1], Result)


@pytest.mark.parametrize("leave", [False, True])
def test_who_goes_before_the_answer_has_read_all_the_same(leave: bool) -> None:
    stage = LaterStage(rate_limits=True, read_rate=1000, read_burst=800_000, rate=0.0, rate_bytes=0)
    (eve,) = stage.members("eve")
    for id in range(1, 19):
        eve.post(History(id, "lobby", limit=100))
        if leave:
            eve.session.lost(stage.now)
            stage.answer()
            eve = stage.members("eve")[0]
        else:
            stage.answer()
    eve.post(History(19, "lobby", limit=100))
    stage.answer()
    refused = [one for one in eve.got if isinstance(one, Error)]
    assert bool(refused) == leave, "what was reserved is given back to who stays"


def test_reads_of_joins_count_before_they_are_answered() -> None:
    stage = LaterStage(rate_limits=True, read_burst=800_000)
    (eve,) = stage.members("eve")
    for id in range(1, 31):
        eve.post(Join(id, "lobby", since=("later", 0)))
    assert len(stage.engine.waiting) == 8
    stage.answer()
    assert len([one for one in eve.got if isinstance(one, Error)]) == 22
    eve.post(Join(31, "lobby", since=("later", 0)))
    stage.answer()
    assert isinstance(eve.got[-1], Result), "the answers were short"


def test_a_connect_reserves_no_more_than_its_result_may_have() -> None:
    stage = LaterStage(rate_limits=True, read_rate=1000)
    ada = stage.new()
    ada.post(Connect(1, name="ada", rooms={f"r{number}": ("later", 0) for number in range(60)}))
    stage.answer()
    result = next(one for one in ada.got if isinstance(one, Result))
    assert not [body for body in result.body["rooms"].values() if "error" in body]
    ada.post(History(2, "r1"))
    stage.answer()
    assert isinstance(ada.got[-1], Result)
