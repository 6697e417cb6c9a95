"""EDIT, DELETE and REACT: places in the room's order, folded into history, told to all, by who may."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from fastchat.engine.base import Record
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Block,
    Change,
    Delete,
    Edit,
    Error,
    Gap,
    History,
    Join,
    Leave,
    Message,
    Publish,
    React,
    Result,
)
from tests.hub.stage import Client, Stage, options, places
from tests.hub.test_later import LaterStage

THUMB = "\N{THUMBS UP SIGN}"


def history(one: Client, **given: Any) -> list[Any]:
    """List (offset, user, data, opts) of what is kept."""
    return [[entry[0], *entry[2:]] for entry in one.ask(History, "lobby", **given)["messages"]]


def refused(answer: Any, code: Code, field: str | None = None) -> bool:
    return isinstance(answer, Error) and (answer.code, answer.field) == (code, field)


def test_an_edit_is_told_to_all_and_folded() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.ask(Publish, "lobby", pack("helo"))
    stage.pass_time(100)
    assert ada.ask(Edit, "lobby", 1, pack("hello")) == {"offset": 2, "ts": stage.now}
    assert bob.take(Change) == ada.take(Change) == [
        Change("lobby", 2, stage.now, "ada", "edit", 1, "hello")
    ]  # fmt: skip
    assert history(bob) == [
        [1, "ada", "hello", {"edited": stage.now}],
        [2, "ada", None, {"change": "edit", "target": 1, "value": "hello"}],
    ]


def test_a_deletion_is_told_to_all_and_leaves_nothing() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.send(Publish(0, "lobby", pack("one")), Edit(0, "lobby", 1, pack("two")))
    assert ada.ask(Delete, "lobby", 1) == {"offset": 3, "ts": stage.now}
    assert bob.take(Change)[1] == Change("lobby", 3, stage.now, "ada", "delete", 1, None)
    assert history(bob) == [
        [1, "ada", None, {"deleted": stage.now}],
        [2, "ada", None, {"change": "edit", "target": 1, "value": None}],
        [3, "ada", None, {"change": "delete", "target": 1, "value": None}],
    ]


def test_reactions() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.ask(Publish, "lobby", pack("x"))
    assert bob.ask(React, "lobby", 1, THUMB, True) == {"offset": 2, "ts": stage.now}
    assert bob.ask(React, "lobby", 1, THUMB, True) == {"offset": 0, "ts": stage.now, "duplicate": True}
    assert ada.ask(React, "lobby", 1, ":tada:", True)["offset"] == 3
    assert ada.ask(React, "lobby", 1, ":tada:", False)["offset"] == 4
    assert [(one.offset, one.user, one.value) for one in bob.take(Change)] == [
        (2, "bob", [THUMB, True]), (3, "ada", [":tada:", True]), (4, "ada", [":tada:", False])
    ]  # fmt: skip
    assert history(ada, limit=4)[0] == [1, "ada", "x", {"reactions": {THUMB: ["bob"]}}]


def test_id_0_asks_for_no_result() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    ada.send(Publish(0, "lobby", pack("x")))
    assert [type(one) for one in ada.send(Edit(0, "lobby", 1, pack("y")))] == [Change]
    assert [(one.id, one.code) for one in ada.send(Delete(0, "lobby", 9))] == [(0, Code.NO_SUCH_MESSAGE)]


@pytest.mark.parametrize(
    ("make", "arguments"), [(Edit, (pack("z"),)), (Delete, ()), (React, ("+1", True))]
)
def test_what_cannot_be_changed(make: Any, arguments: Any) -> None:
    stage = Stage(options(history=5))
    ada, bob = stage.join("ada", "bob")
    outsider = stage.new("eve")
    for ttl_ms in (0, 500, 0):
        ada.ask(Publish, "lobby", pack("x"), ttl_ms=ttl_ms)
    ada.ask(Delete, "lobby", 3)
    stage.pass_time(500)
    bob.got.clear()
    for target in (0, 2, 3, 4, 5, 2**53 - 1):  # none, expired, deleted, a change, to come
        assert refused(ada.ask(make, "lobby", target, *arguments), Code.NO_SUCH_MESSAGE), target
    assert refused(outsider.ask(make, "lobby", 1, *arguments), Code.NOT_A_MEMBER)
    assert refused(ada.ask(make, "nowhere", 1, *arguments), Code.NOT_A_MEMBER)
    assert bob.got == [] and stage.faults == []
    ada.send(*(Publish(0, "lobby", pack("x")) for _ in range(2)))
    assert refused(ada.ask(make, "lobby", 1, *arguments), Code.NO_SUCH_MESSAGE), "kept no more"


def test_rights() -> None:
    """Who may do what to whose message, by role: only authors edit, moderators delete everybody's."""
    for make, role, own in product((Edit, Delete, React), Role, (True, False)):
        allowed = own or make is React or (make is Delete and role >= Role.MODERATOR)
        stage = Stage()
        ada, bob = stage.join("ada", "bob")
        who = ada if own else bob
        who.session.identity = Identity(who.session.user.id, role)
        ada.ask(Publish, "lobby", pack("x"))
        arguments = {Edit: (pack("y"),), Delete: (), React: ("+1", True)}[make]
        answer = who.ask(make, "lobby", 1, *arguments)
        assert refused(answer, Code.FORBIDDEN) is not allowed, (make, role, own)
        assert len(ada.take(Change)) == allowed


def test_what_a_moderator_deletes_is_written_down() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.send(Publish(0, "lobby", pack("x")), Publish(0, "lobby", pack("y")), Delete(0, "lobby", 2))
    bob.session.identity = Identity("t:bob", Role.MODERATOR)
    assert bob.ask(Delete, "lobby", 1)["offset"] == 4
    assert refused(bob.ask(Delete, "lobby", 1), Code.NO_SUCH_MESSAGE)
    assert isinstance(stage.engine, MemoryEngine)
    assert list(stage.engine.records) == [
        Record(stage.now, "lobby", "bob", "delete", "", pack({"id": "t:bob", "offset": 1}))
    ]


def test_a_moderator_of_another_room_is_none_here() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.ask(Publish, "lobby", pack("x"))
    bob.session.identity = Identity(bob.session.user.id, roles={"other*": Role.OWNER})
    assert refused(bob.ask(Delete, "lobby", 1), Code.FORBIDDEN)


def test_a_name_does_not_make_the_author() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    ada.ask(Publish, "lobby", pack("x"))
    ada.close()
    (other,) = stage.join("ada")
    assert refused(other.ask(Edit, "lobby", 1, pack("y")), Code.FORBIDDEN)


def test_a_guest_who_resumes_is_still_the_author() -> None:
    stage = Stage()
    ada = stage.new()
    secret = ada.connect("ada", rooms={"lobby": None})["session"]
    (bob,) = stage.join("bob")
    ada.ask(Publish, "lobby", pack("x"))
    for dead in (True, False):  # the second time the server has not seen it die
        if dead:
            ada.close()
        again = stage.new()
        secret = again.connect(resume=secret, rooms={"lobby": None})["session"]
        assert again.ask(Edit, "lobby", 1, pack("y"))["offset"]
        ada = again
    again = stage.new()
    again.connect("eve", resume=secret, rooms={"lobby": None})
    assert bob.take(Change)[-1].user == "ada"
    assert refused(again.ask(Edit, "lobby", 1, pack("z")), Code.FORBIDDEN)


@pytest.mark.parametrize("emoji", ["", "x" * 33, "a b", "a\n", "\u202e", "\u200b", "\ue000", "\u2028"])
def test_what_is_no_reaction(emoji: str) -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    ada.ask(Publish, "lobby", pack("x"))
    assert refused(ada.ask(React, "lobby", 1, emoji, True), Code.BAD_ARGUMENT, "emoji")


def test_one_reaction_too_many() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    ada.ask(Publish, "lobby", pack("x"))
    for number in range(64):
        ada.ask(React, "lobby", 1, str(number), True)
    assert refused(ada.ask(React, "lobby", 1, "64", True), Code.BAD_ARGUMENT, "emoji")


def test_who_blocks_is_told_of_a_gap_but_sees_what_is_deleted() -> None:
    stage = Stage()
    ada, bob, carol = stage.join("ada", "bob", "carol")
    bob.send(Publish(0, "lobby", pack("x")), Publish(0, "lobby", pack("y")))
    carol.ask(Publish, "lobby", pack("carol's"))
    ada.ask(Block, "bob", True)
    ada.got.clear()
    bob.session.identity = Identity(bob.session.user.id, Role.MODERATOR)
    bob.send(Edit(0, "lobby", 1, pack("z")), React(0, "lobby", 2, "+1", True), Delete(0, "lobby", 3))
    assert ada.got == [
        Gap("lobby", 4, 4, "hidden"),
        Gap("lobby", 5, 5, "hidden"),
        Change("lobby", 6, stage.now, "bob", "delete", 3, None),
    ]
    assert places(carol.got, "lobby")[-3:] == [1, 2, 3] and len(carol.take(Change)) == 3
    hidden = {"hidden": True}
    assert [entry[2:] for entry in history(ada)] == [
        [None, hidden], [None, hidden], [None, {"deleted": stage.now}], [None, hidden], [None, hidden],
        [None, {"change": "delete", "target": 3, "value": None}],
    ]  # fmt: skip


def test_a_room_with_more_than_can_be_sent_takes_no_changes() -> None:
    stage = Stage(options(batch_bytes=10_000))
    ada, bob = stage.join("ada", "bob")
    ada.post(Publish(0, "lobby", pack("x")))
    for number in range(1, 9):
        ada.post(Edit(number, "lobby", 1, pack("y" * 3000)))
    stage.flush()
    assert {one.code for one in ada.take(Error)} == {Code.OVERLOADED}
    assert len(bob.take(Change)) == len(ada.take(Result)) == 3


def test_recovery_replays_changes() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    epoch = ada.ask(History, "lobby")["epoch"]
    ada.send(Publish(0, "lobby", pack("x")))
    bob.close()
    ada.send(Edit(0, "lobby", 1, pack("y")), React(0, "lobby", 1, "+1", True))
    again = stage.new("bob")
    body = again.ask(Join, "lobby", since=(epoch, 1))
    assert body["recovered"] is True
    assert [entry[0] for entry in body["messages"]] == [2, 3]
    assert [entry[4]["change"] for entry in body["messages"]] == ["edit", "react"]


# an engine that answers later


def test_changes_and_messages_stay_in_order() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(
        Publish(1, "lobby", pack("a")), Edit(2, "lobby", 1, pack("b")), Publish(3, "lobby", pack("c")),
        React(4, "lobby", 3, "+1", True), React(5, "lobby", 3, "+1", True), Delete(6, "lobby", 1),
        Edit(7, "lobby", 1, b"\x01"),
    )  # fmt: skip
    assert bob.got == []
    while stage.engine.waiting:
        stage.answer(2)
    assert [type(one) for one in bob.got] == [Message, Change, Message, Change, Change]
    assert [one.offset for one in bob.got] == [1, 2, 3, 4, 5]
    results = {one.id: one.body["offset"] for one in ada.take(Result)}
    assert results == {1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 5}
    assert [(one.id, one.code) for one in ada.take(Error)] == [(7, Code.NO_SUCH_MESSAGE)]
    room = stage.hub.rooms["lobby"]
    assert room.busy == room.storing_bytes == 0 and not stage.faults


def test_a_change_by_somebody_gone_is_still_told() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(0, "lobby", pack("x")))
    ada.post(Edit(2, "lobby", 1, pack("last words")), Delete(3, "lobby", 9), Leave(4, "lobby"))
    ada.close()
    stage.answer()
    assert [one.value for one in bob.take(Change)] == ["last words"]
    bob.close()
    assert not stage.hub.rooms and not stage.faults


def test_a_change_that_the_store_refuses() -> None:
    stage = LaterStage()
    ada, bob = stage.members("ada", "bob")
    ada.post(Publish(1, "lobby", pack("x")))
    stage.answer()
    ada.post(Edit(2, "lobby", 1, pack("y")))
    bob.got.clear()
    stage.fail()
    assert [(one.id, one.code, one.retry_ms) for one in ada.take(Error)] == [(2, Code.STORE_UNAVAILABLE, 500)]
    assert bob.got == []
