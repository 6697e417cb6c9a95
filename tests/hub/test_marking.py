"""MARK: only forward, never beyond what is there, told to the user's other sessions, kept and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.config import Config
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code, ProtocolError
from fastchat.hub import marking
from fastchat.hub.lots import Lots
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Delete, Error, Join, Leave, Mark, Message, Notice, Publish
from tests.engine.later import LaterEngine
from tests.hub.stage import Client, Stage, options


def published(count: int, config: Config | None = None, **given: Any) -> tuple[Stage, Client]:
    """Make a room with messages and one member."""
    stage = Stage(config, **given)
    (ada,) = stage.join("ada")
    ada.session.user.id = "t:ada"
    for number in range(count):
        ada.send(Publish(0, "lobby", pack(number)))
    return stage, ada


def another(stage: Stage, first: Client, room: str | None = "lobby") -> Client:
    """Seat one more session of the same user, as those with a token may have."""
    one = stage.new()
    one.connect()
    stage.hub.users.unseat(one.session)
    stage.hub.users.seat(one.session, first.session.user.name)
    if room is not None:
        one.ask(Join, room)
    one.got.clear()
    return one


def test_a_mark_moves_forward_only_and_not_beyond_the_newest() -> None:
    _, ada = published(5)
    for asked, stands in ((0, 0), (3, 3), (2, 3), (3, 3), (99, 5), (2**53 - 1, 5), (0, 5)):
        assert ada.ask(Mark, "lobby", asked) == {"offset": stands}
    ada.send(Publish(0, "lobby", pack("x")), Delete(0, "lobby", 1))
    assert ada.ask(Mark, "lobby", 7) == {"offset": 7}, "a change has a place as well"


def test_who_is_not_in_the_room_has_no_mark() -> None:
    stage, _ = published(1)
    bob = stage.new("bob")
    for room in ("lobby", "nowhere"):
        answer = bob.ask(Mark, room, 1)
        assert isinstance(answer, Error) and answer.code == Code.NOT_A_MEMBER


def test_id_0_asks_for_no_result() -> None:
    _, ada = published(2)
    assert ada.send(Mark(0, "lobby", 2)) == []
    assert ada.ask(Mark, "lobby", 1) == {"offset": 2}


def test_results_of_join_and_connect_tell_it() -> None:
    stage, ada = published(4)
    assert "read" not in ada.ask(Join, "lobby")
    ada.ask(Mark, "lobby", 3)
    assert ada.ask(Join, "lobby")["read"] == 3
    ada.ask(Leave, "lobby")
    (bob,) = stage.join("bob")  # who holds the room, and has no mark
    assert ada.ask(Join, "lobby")["read"] == 3
    assert "read" not in bob.ask(Join, "lobby", presence=True)


def test_the_other_sessions_in_the_room_are_told() -> None:
    stage, ada = published(4)
    there, elsewhere = another(stage, ada), another(stage, ada, None)
    (bob,) = stage.join("bob")
    ada.got.clear()
    ada.ask(Mark, "lobby", 3)
    assert there.take(Notice) == [Notice("lobby", "read", "ada", offset=3)]
    there.ask(Mark, "lobby", 3)
    there.ask(Mark, "lobby", 2)
    assert ada.take(Notice) == []
    there.ask(Mark, "lobby", 4)
    assert ada.take(Notice) == [Notice("lobby", "read", "ada", offset=4)]
    assert bob.got == [] == elsewhere.take(Notice)


def test_it_is_kept_about_once_a_second() -> None:
    stage, ada = published(9)
    facts = stage.hub.facts.of("mark")
    for offset in range(1, 9):
        ada.ask(Mark, "lobby", offset)
    assert not facts
    stage.pass_time(100)
    assert list(facts) == [("lobby", "t:ada")]
    value = facts["lobby", "t:ada"]
    ada.ask(Mark, "lobby", 9)
    stage.pass_time(800)
    assert facts["lobby", "t:ada"] == value and ada.ask(Join, "lobby")["read"] == 9
    stage.pass_time(200)
    assert facts["lobby", "t:ada"] != value


def test_it_is_there_after_a_restart_in_the_same_epoch() -> None:
    engine = MemoryEngine(Config(), "epoch")
    stage, ada = published(4, engine=engine)
    ada.ask(Mark, "lobby", 3)
    stage.hub.drain(stage.now, 0)
    again = Stage(engine=engine)
    (ada,) = again.join("ada")
    ada.session.user.id = "t:ada"
    assert ada.ask(Join, "lobby")["read"] == 3
    assert ada.ask(Mark, "lobby", 2) == {"offset": 3}


def test_a_mark_of_another_epoch_says_nothing() -> None:
    stage, ada = published(4, options(history_seconds=0))
    ada.ask(Mark, "lobby", 3)
    ada.ask(Leave, "lobby")
    stage.pass_time(2000)
    assert "read" not in ada.ask(Join, "lobby")
    ada.send(Publish(0, "lobby", pack("x")))
    assert ada.ask(Mark, "lobby", 9) == {"offset": 1}


def test_marks_of_one_who_never_comes_back_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "MAX_MARKS", 10)
    stage, ada = published(50)
    marks, room = stage.hub.marks, stage.hub.rooms["lobby"]
    for number in range(40):
        marks.move(room, f"t:{number}", 7)
        marks.move(room, "t:ada", number)
        stage.pass_time(1000)
        assert len(stage.hub.facts.of("mark")) <= 10
    assert [number for number in range(40) if marks.get(room, f"t:{number}")] == list(range(31, 40))
    assert marks.get(room, "t:ada") == 39
    assert len(stage.engine.facts()) == 10
    for number in range(100):
        marks.move(room, f"h:{number}", 7)
    assert len(marks._lots.waiting) == 10


def test_the_last_marks_do_not_wait_for_those_before() -> None:
    config = Config()
    engine = LaterEngine(config)
    stage = Stage(config, engine=engine)
    lots = Lots(stage.hub.facts, "mark", marking.MAX_MARKS, 1000)
    lots.put("lobby", "t:ada", b"\x01")
    lots.flush(stage.now)
    lots.put("lobby", "t:bob", b"\x02")
    lots.flush(stage.now, last=True)
    engine.answer()
    assert set(stage.hub.facts.of("mark")) == {("lobby", "t:ada"), ("lobby", "t:bob")} and not lots.waiting


def test_the_last_marks_are_kept_where_there_are_as_many_as_may_be() -> None:
    stage = Stage()
    lots = Lots(stage.hub.facts, "mark", marking.MAX_MARKS, 1000)
    for first in range(2):
        for number in range(marking.MAX_MARKS):
            lots.put("lobby", f"t:{number + first * 5000}", b"\x01")
        lots.flush(stage.now, last=True)
        assert not lots.waiting and len(stage.hub.facts.of("mark")) == marking.MAX_MARKS


def test_an_engine_that_answers_later_or_not() -> None:
    config = Config()
    engine = LaterEngine(config)
    stage = Stage(config, engine=engine)
    ada = stage.new("ada")
    ada.post(Join(0, "lobby"), *(Publish(0, "lobby", pack("x")) for _ in range(5)))
    engine.answer()
    stage.flush()
    assert len(ada.take(Message)) == 5
    ada.session.user.id = "t:ada"

    def kept() -> dict[Any, Any]:
        return dict(stage.hub.facts.of("mark"))

    assert ada.ask(Mark, "lobby", 3) == {"offset": 3}
    stage.pass_time(1000)
    assert ada.ask(Mark, "lobby", 4) == {"offset": 4}
    assert len(engine.waiting) == 1 and not kept()
    stage.pass_time(3000)
    assert len(engine.waiting) == 1, "one lot at a time"
    engine.fail()
    stage.pass_time(1000)
    assert not kept() and len(engine.waiting) == 1, "tried again"
    ada.ask(Mark, "lobby", 5)
    engine.answer()
    assert kept() and stage.hub.marks.get(stage.hub.rooms["lobby"], "t:ada") == 5
    stage.pass_time(1000)
    engine.answer()
    assert kept() == {("lobby", "t:ada"): pack(["later.0", 5])} and not stage.hub.marks._lots.waiting
    assert not stage.faults


def test_a_store_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, ada = published(3)

    def full(*arguments: object) -> bool:
        raise ProtocolError(Code.STORE_UNAVAILABLE, "the disk is full", retry_ms=1000)

    ada.ask(Mark, "lobby", 2)
    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "keep", full)
        stage.pass_time(2000)
        assert ada.ask(Mark, "lobby", 3) == {"offset": 3} and not stage.engine.facts()
    stage.pass_time(1000)
    assert len(stage.engine.facts()) == 1 and not stage.faults


def test_marks_of_guests_are_not_kept_and_take_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "MAX_GUEST_MARKS", 3)
    stage, ada = published(5)
    ada.session.user.id = "t:ada"
    assert ada.ask(Mark, "lobby", 4) == {"offset": 4}
    for number in range(5):
        (guest,) = stage.join(f"guest{number}")
        guest.session.user.id = f"g:{number}"
        assert guest.ask(Mark, "lobby", number + 1) == {"offset": number + 1}
    stage.pass_time(3000)
    assert [subject for _, subject in stage.hub.facts.of("mark")] == ["t:ada"]
    assert [user for _, user in stage.hub.marks.guests] == ["g:2", "g:3", "g:4"]
    assert guest.ask(Join, "lobby")["read"] == 5
