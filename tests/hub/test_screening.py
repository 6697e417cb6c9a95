"""Screens: what filter and hook do to messages, in what order they leave, what is bounded."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from fastchat.errors import Code, ProtocolError
from fastchat.hub import flagging, screening
from fastchat.hub.screening import Said, Screening, Verdict
from fastchat.hub.texts import texts as texts_of
from fastchat.hub.texts import with_texts
from fastchat.hub.wordfilter import read_filter
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack, unpack
from fastchat.protocol.messages import (
    Change,
    Delete,
    Edit,
    Error,
    History,
    Join,
    Leave,
    Message,
    Notice,
    Publish,
    React,
    State,
)
from fastchat.protocol.values import Timestamp
from tests.engine.later import LaterEngine
from tests.hub.court import act, become, come_from, court, say
from tests.hub.stage import Stage, options, texts

WORDS = "bad\nreplace: damn\nflag: *spam*\n"


class Judge:
    """A hook that waits until it is told what to say."""

    def __init__(self) -> None:
        self.asked: list[tuple[Said, Callable[[Verdict, int], None]]] = []
        self.full = False

    def submit(self, said: Said, done: Callable[[Verdict, int], None]) -> None:
        if self.full:
            raise ProtocolError(Code.OVERLOADED, "full")
        self.asked.append((said, done))

    def say(self, stage: Stage, index: int = 0, verdict: Verdict = Verdict()) -> None:  # noqa: B008
        self.asked.pop(index)[1](verdict, stage.now)
        stage.flush()


def filtered(text: str = WORDS, **given: Any) -> Stage:
    settings = options(filter="words", rate=0.0, **given)
    return Stage(settings, screening=Screening({"words": read_filter(text, "w")}))


def judged(filter: str = "", **given: Any) -> tuple[Stage, Judge]:
    judge = Judge()
    filters = {"words": read_filter(WORDS, "w")} if filter else {}
    return Stage(options(filter=filter, rate=0.0, **given), screening=Screening(filters, judge)), judge


def test_a_room_that_nobody_looks_at_has_no_screen() -> None:
    stage = Stage(options(use_hook=False), screening=Screening({}, Judge()))
    ada = stage.join("ada")[0]
    assert stage.hub.rooms["lobby"].screen is None and say(ada) is None


def test_words_are_rejected_replaced_and_flagged() -> None:
    stage = filtered()
    guy, meg, mod, own = court(stage)
    refusal = guy.ask(Publish, "lobby", pack("b.a.d"))
    assert (refusal.code, refusal.field) == (Code.FORBIDDEN, "data") and "bad" not in refusal.text
    assert say(guy, "damn it") is None and say(guy, "SPAM!") is None and say(guy, "well") is None
    assert texts(meg.got) == texts(guy.got) == ["**** it", "SPAM!", "well"]
    told = [Notice("lobby", "flag", "guy", None, "SPAM", None, None, 2)]
    assert mod.take(Notice) == own.take(Notice) == told
    assert guy.take(Notice) == meg.take(Notice) == []
    assert [one[3] for one in meg.ask(History, "lobby")["messages"]] == ["**** it", "SPAM!", "well"]


def test_edits_are_looked_at() -> None:
    stage = filtered()
    guy, meg, mod, _ = court(stage)
    offset = guy.ask(Publish, "lobby", pack("well"))["offset"]
    assert guy.ask(Edit, "lobby", offset, pack("bad")).code == Code.FORBIDDEN
    guy.ask(Edit, "lobby", offset, pack("damn spam"))
    assert [one.value for one in meg.take(Change)] == ["**** spam"]
    assert [one.offset for one in mod.take(Notice)] == [offset]
    assert "offset" in guy.ask(React, "lobby", offset, "x", True)
    assert "offset" in guy.ask(Delete, "lobby", offset)


MEDIA: list[tuple[Any, Any]] = [
    ({"type": "image", "text": "damn", "url": "damn"}, {"type": "image", "text": "****", "url": "damn"}),
    ({"text": "damn", "caption": "damn it"}, {"text": "****", "caption": "**** it"}),
    ({"text": ["damn"]}, {"text": ["damn"]}),
    ({"text": 7, "caption": None}, {"text": 7, "caption": None}),
    (["damn"], ["damn"]),
    (b"damn", b"damn"),
    (7, 7),
    ({}, {}),
]


@pytest.mark.parametrize("data, passed", MEDIA, ids=map(str, range(len(MEDIA))))
def test_texts_of_media_are_looked_at(data: Any, passed: Any) -> None:
    stage = filtered()
    ada, bob = stage.join("ada", "bob")
    assert "offset" in ada.ask(Publish, "lobby", pack(data))
    assert texts(bob.got) == [passed]


def test_what_is_replaced_leaves_all_else_byte_for_byte() -> None:
    stamp = b"\xd6\xff\x00\x00\x00\x01"
    data = b"\xde\x00\x03" + b"\xd9\x04text\xd9\x04damn" + stamp + b"\xcd\x00\x01" + b"\xa1x\xd5\x05ab"
    assert texts_of(data) == ["damn"]
    assert with_texts(data, ["****"]) == b"\x83\xd9\x04text\xa4****" + stamp + b"\xcd\x00\x01\xa1x\xd5\x05ab"
    assert unpack(stamp) == Timestamp(1)


def test_flags_are_told_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flagging, "MOST", 2)
    stage = filtered()
    guy, _, mod, _ = court(stage)
    for _ in range(5):
        assert say(guy, "spam") is None
    assert [one.offset for one in mod.take(Notice)] == [1, 2]
    assert stage.hub.rooms["lobby"].screen.flags.missed == 3  # type: ignore[union-attr]
    stage.pass_time(1000)
    say(guy, "spam")
    assert [one.offset for one in mod.take(Notice)] == [6]


def test_what_was_said_before_is_not_flagged_again() -> None:
    stage = filtered()
    guy, _, mod, _ = court(stage)
    for _ in range(2):
        guy.ask(Publish, "lobby", pack("spam"), key="k")
    assert len(mod.take(Notice)) == 1


def test_other_words_count_at_once() -> None:
    stage = filtered()
    ada = stage.join("ada")[0]
    assert say(ada, "bad") == Code.FORBIDDEN
    assert stage.hub.screening is not None
    stage.hub.screening.filters = {"words": read_filter("good", "w")}
    assert say(ada, "bad") is None and say(ada, "good") == Code.FORBIDDEN


def test_the_hook_allows_changes_and_rejects() -> None:
    stage, judge = judged()
    guy, meg, *_ = court(stage)
    for number, text in enumerate(("one", "two", "three"), 1):
        guy.send(Publish(number, "lobby", pack(text)))
    assert guy.got == meg.got == []
    assert judge.asked[0][0] == Said("lobby", "guy", "g:guy", Role.GUEST, False, pack("one"), stage.now)
    judge.say(stage)
    judge.say(stage, 0, Verdict(pack({"text": "2"})))
    judge.say(stage, 0, Verdict(rejected="not three"))
    assert texts(meg.got) == ["one", {"text": "2"}]
    refused = [(one.id, one.code, one.text, one.field) for one in guy.take(Error)]
    assert refused == [(3, Code.FORBIDDEN, "not three", "data")]
    assert stage.hub.rooms["lobby"].busy == 0


def test_the_order_is_that_in_which_they_came() -> None:
    stage, judge = judged()
    guy, meg, *_ = court(stage)
    for number in range(8):
        (guy, meg)[number % 2].post(Publish(number + 1, "lobby", pack(number)))
    random = Random(7)
    while judge.asked:
        judge.say(stage, random.randrange(len(judge.asked)))
    assert texts(guy.got) == texts(meg.got) == list(range(8))


def test_edits_take_the_same_way() -> None:
    stage, judge = judged()
    guy, meg, *_ = court(stage)
    guy.post(Publish(1, "lobby", pack("one")))
    judge.say(stage)
    guy.post(Edit(2, "lobby", 1, pack("two")), Publish(3, "lobby", pack("three")))
    assert [said.edit for said, _ in judge.asked] == [True, False]
    judge.say(stage, 1)
    judge.say(stage, 0, Verdict(pack("2")))
    assert [getattr(one, "data", getattr(one, "value", 0)) for one in meg.got] == ["one", "2", "three"]


def test_the_filter_comes_before_the_hook() -> None:
    stage, judge = judged("words")
    guy, _, mod, _ = court(stage)
    guy.send(Publish(1, "lobby", pack("bad")))
    assert not judge.asked and [one.code for one in guy.take(Error)] == [Code.FORBIDDEN]
    guy.send(Publish(2, "lobby", pack("damn spam")))
    assert judge.asked[0][0].data == pack("**** spam")
    judge.say(stage)
    assert texts(mod.got) == ["**** spam"] and [one.offset for one in mod.take(Notice)] == [1]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "MAX_WAITING", 3)
    stage, judge = judged(batch_bytes=40_000)
    guy = court(stage)[0]
    for number in range(5):
        guy.send(Publish(number + 1, "lobby", pack("x")))
    assert [(one.id, one.code, one.retry_ms) for one in guy.take(Error)] == [(4, 101, 100), (5, 101, 100)]
    for _ in range(3):
        judge.say(stage)
    for number in range(4):
        guy.send(Publish(number + 1, "lobby", pack("x" * 15_000)))
    assert [one.id for one in guy.take(Error)] == [3, 4]
    judge.full = True
    judge.say(stage)
    guy.send(Publish(9, "lobby", pack("x")))
    assert [(one.id, one.code) for one in guy.take(Error)] == [(9, Code.OVERLOADED)]
    judge.say(stage)
    judge.full = False
    guy.send(*(Publish(number, "lobby", pack("x" * 15_000)) for number in (1, 2)))
    assert guy.take(Error) == [], "what has left makes room"
    judge.say(stage)
    judge.say(stage)
    assert len(texts(guy.got)) == 7 and stage.hub.rooms["lobby"].busy == 0 and not stage.faults


def test_who_was_muted_or_taken_out_meanwhile_is_refused() -> None:
    stage, judge = judged()
    guy, meg, mod, _ = court(stage)
    for client in (guy, meg):
        client.post(Publish(7, "lobby", pack("x")))
    act(mod, "mute", "guy")
    act(mod, "kick", "meg")
    judge.say(stage)
    judge.say(stage)
    assert [one.code for one in guy.take(Error)] == [Code.MUTED]
    assert [one.code for one in meg.take(Error)] == [Code.NOT_A_MEMBER]
    assert texts(mod.got) == []


def test_slow_mode_counts_for_what_waits() -> None:
    stage, judge = judged()
    guy, meg, mod, _ = court(stage)
    act(mod, "slow", seconds=60)
    guy.post(Publish(1, "lobby", pack("one")), Publish(2, "lobby", pack("two")))
    judge.say(stage, 1)
    judge.say(stage)
    assert texts(meg.got) == ["one"] and [(one.id, one.code) for one in guy.take(Error)] == [(2, 401)]


def test_the_room_stays_until_the_hook_has_answered() -> None:
    stage, judge = judged()
    ada = stage.join("ada")[0]
    ada.post(Publish(1, "lobby", pack("x")), Leave(2, "lobby"))
    assert "lobby" in stage.hub.rooms
    judge.say(stage)
    assert [one.code for one in ada.take(Error)] == [Code.NOT_A_MEMBER] and "lobby" not in stage.hub.rooms
    bob = stage.join("bob")[0]
    bob.post(Publish(1, "lobby", pack("x")))
    bob.close()
    judge.say(stage)
    assert "lobby" not in stage.hub.rooms and not stage.faults


def test_with_an_engine_that_answers_later_and_a_join_under_way() -> None:
    config = options(rate=0.0)
    engine, judge = LaterEngine(config), Judge()
    stage = Stage(config, engine=engine, screening=Screening({}, judge))
    ada = stage.new("ada")
    ada.post(Join(1, "lobby"), Publish(2, "lobby", pack("x")))
    judge.say(stage)
    assert ada.got == []
    engine.answer()
    stage.flush()
    assert [getattr(one, "id", 0) for one in ada.got if not isinstance(one, Message)] == [1, 2]
    assert texts(ada.got) == ["x"]


def test_what_is_refused_after_the_hook_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, judge = judged()
    guy = court(stage)[0]
    guy.post(Publish(1, "lobby", pack("x")), Publish(2, "lobby", pack("y")))
    monkeypatch.setattr(stage.hub.rooms["lobby"], "storing_bytes", 1 << 40)
    judge.say(stage)
    assert [(one.id, one.code) for one in guy.take(Error)] == [(1, Code.OVERLOADED)]
    monkeypatch.undo()

    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(stage.engine, "append", fail)
    judge.say(stage)
    assert [(one.id, one.code) for one in guy.take(Error)] == [(2, Code.INTERNAL)]
    assert [what for what, _ in stage.faults] == ["Publish"] and stage.hub.rooms["lobby"].busy == 0


def test_moderators_of_one_room_get_no_flags_of_another() -> None:
    stage = filtered()
    guy, _, mod, own = court(stage)
    guy.ask(Join, "hall")
    become(come_from(stage.new("x"), "10.0.0.8"), Role.MODERATOR).ask(Join, "hall")
    mod.got.clear()
    assert say(guy, "spam", "hall") is None
    assert mod.take(Notice) == own.take(Notice) == []


def test_moderators_are_looked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    perhaps = flagging._perhaps

    def count(room: Any, moderation: Any) -> Any:
        nonlocal looked
        looked += 1
        return perhaps(room, moderation)

    monkeypatch.setattr(flagging, "_perhaps", count)
    stage = filtered()
    guy, meg, mod, own = court(stage)
    for _ in range(9):
        say(guy, "spam")
    assert looked == 1 and len(mod.take(Notice)) == 9
    assert act(own, "op", "meg") is None
    mod.ask(Leave, "lobby")
    stage.pass_time(1000)
    mod.got.clear()
    meg.got.clear()
    say(guy, "spam")
    assert looked == 2 and len(meg.take(Notice)) == 1 and not mod.take(Notice)
    become(meg, Role.MEMBER)
    meg.session.user.id = "t:other"
    meg.session.identity = Identity("t:other")
    say(guy, "spam")
    assert looked == 2 and not meg.take(Notice), "asked again each time"


@pytest.mark.parametrize(
    "state, code",
    [
        ({"away": "bad"}, Code.FORBIDDEN), ({"bad": True}, Code.FORBIDDEN),
        ({"mood": [{"x": "damn"}]}, Code.FORBIDDEN),
        ({"away": "tea", "typing": True}, None), ({"typing": True}, None), ({}, None),
        ({"at": [1, 2.5]}, None),
    ],
)  # fmt: skip
def test_states_are_looked_at(state: object, code: Code | None) -> None:
    stage = filtered()
    ada = stage.join("ada")[0]
    answer = ada.ask(State, "lobby", pack(state))
    assert (answer.code if isinstance(answer, Error) else None) == code


def test_reactions_are_looked_at() -> None:
    stage = filtered()
    ada = stage.join("ada")[0]
    assert say(ada, "fine") is None
    assert ada.ask(React, "lobby", 1, "b.a.d", True).code == Code.FORBIDDEN
    assert ada.ask(React, "lobby", 1, "damn", True).code == Code.FORBIDDEN
    assert "offset" in ada.ask(React, "lobby", 1, "👍", True)


def test_a_hook_alone_asks_nothing_of_states() -> None:
    stage, _ = judged()
    ada = stage.join("ada")[0]
    assert ada.ask(State, "lobby", pack({"away": "bad"})) == {}


def test_a_server_that_goes_down_answers_what_the_hook_has() -> None:
    stage, judge = judged()
    ada, bob = stage.join("ada", "bob")
    ada.post(Publish(2, "lobby", pack(1)), Publish(3, "lobby", pack(2)))
    bob.post(Publish(4, "lobby", pack(3)))
    bob.close()
    stage.hub.drain(stage.now, 5000)
    stage.flush()
    refused = [(one.id, one.code, one.retry_ms) for one in ada.got if isinstance(one, Error)]
    assert refused == [(2, Code.DRAINING, 5000), (3, Code.DRAINING, 5000)] and ada.code == Code.DRAINING
    for _ in range(3):
        judge.say(stage)
    assert not stage.faults and not stage.engine.bytes and "lobby" not in stage.hub.rooms
