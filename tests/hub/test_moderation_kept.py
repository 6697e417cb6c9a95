"""What moderators decide: kept before it is answered, found again after a restart, bounded, written down."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgpack import unpackb

from fastchat.config import Config
from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub import acts, facts, moderation, refusals
from fastchat.hub.addresses import network_of
from fastchat.hub.moderation import Moderation
from fastchat.identity.base import Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Connect,
    Delete,
    Edit,
    Error,
    Join,
    Moderate,
    Notice,
    Publish,
    React,
    Result,
)
from tests.engine.later import LaterEngine
from tests.hub.court import act, again, become, come_from, court, notices, say
from tests.hub.stage import Stage


def late() -> tuple[Stage, LaterEngine, list[Any]]:
    """A court on an engine that answers later."""
    engine = LaterEngine(Config())
    stage = Stage(engine=engine)
    clients = [stage.new(name) for name in ("guy", "meg", "mod", "own")]
    for number, client in enumerate(clients):
        become(client, Role(number)).post(Join(1, "lobby"))
    engine.answer()
    stage.flush()
    for client in clients:
        client.got.clear()
    return stage, engine, clients


def test_a_restart_changes_nothing() -> None:
    stage = Stage()
    guy, meg, mod, own = court(stage, "pal")[:4]
    for action, user, given in (
        ("ban", "guy", {"seconds": 600, "reason": "spam"}),
        ("ban", "gone", {"seconds": 1}),
        ("mute", "pal", {}),
        ("slow", "", {"seconds": 7}),
        ("cap", "", {"members": 3}),
        ("lock", "", {}),
    ):
        assert act(mod, action, user, **given) is None
    assert act(own, "op", "meg") is None and act(own, "mute", "dan", "") is None
    stage.now += 60_000
    stage = again(stage)
    guy, meg, new = stage.new("guy"), become(stage.new("meg"), Role.MEMBER), stage.new("new")
    assert guy.ask(Join, "lobby").text == "banned for 9 minutes: spam"
    assert new.ask(Join, "lobby").text == "the room is locked"
    assert meg.ask(Join, "lobby")["members"] == 1
    assert act(meg, "unlock") is None, "still a moderator"
    pal, dan = stage.new("pal"), stage.new("dan")
    assert pal.ask(Join, "lobby")["members"] == 2 and say(pal) == Code.MUTED
    assert dan.ask(Join, "lobby")["members"] == 3 and say(dan) == Code.MUTED
    assert new.ask(Join, "lobby").code == Code.ROOM_FULL
    assert act(meg, "cap") is None and "members" in new.ask(Join, "lobby")
    assert say(new) is None and say(new) == Code.SLOW_MODE
    assert "members" in stage.new("gone").ask(Join, "lobby"), "that ban has ended meanwhile"
    for lift, user in (("unban", "guy"), ("unmute", "pal"), ("slow", ""), ("deop", "meg")):
        assert act(meg, lift, user) is None
    assert act(become(stage.new("own"), Role.OWNER), "unmute", "dan", "") is None
    assert not again(stage).hub.moderation.rules and not stage.engine.facts()


def test_it_is_stored_before_it_is_answered() -> None:
    stage, engine, (guy, _, mod, _) = late()
    mod.post(Moderate(5, "lobby", "ban", "guy"))
    stage.flush()
    assert guy.got == mod.got == [] and not stage.hub.moderation.rules
    engine.answer()
    stage.flush()
    assert [type(one) for one in guy.got] == [Notice] and "lobby" not in guy.session.rooms
    assert {type(one).__name__ for one in mod.got} == {"Notice", "Result"}


def test_what_is_not_stored_is_not_done() -> None:
    stage, engine, (guy, _, mod, _) = late()
    mod.post(Moderate(5, "lobby", "ban", "guy"))
    engine.fail()
    stage.flush()
    assert [(one.id, one.code) for one in mod.got] == [(5, Code.STORE_UNAVAILABLE)]
    assert guy.got == [] and not stage.hub.moderation.rules


def test_it_is_done_though_the_moderator_and_the_room_are_gone() -> None:
    stage, engine, clients = late()
    clients[2].post(Moderate(5, "lobby", "ban", "guy"), Moderate(6, "lobby", "lock", ""))
    for client in clients:
        client.close()
    assert "lobby" not in stage.hub.rooms
    engine.answer()
    assert stage.hub.moderation.of("lobby").locked and not stage.faults  # type: ignore[union-attr]
    guy = stage.new("guy")
    assert guy.ask(Join, "lobby").code == Code.BANNED


def test_who_waits_to_come_in_is_turned_away() -> None:
    stage, engine, (guy, _, mod, _) = late()
    new = stage.new("new")
    mod.post(Moderate(5, "lobby", "ban", "new"))
    new.post(Join(1, "lobby"))
    engine.answer()
    stage.flush()
    assert [one.code for one in new.got if isinstance(one, Error)] == [Code.NOT_A_MEMBER]
    assert not stage.faults


def test_a_store_that_fails_is_asked_again_to_forget() -> None:
    stage, engine, (guy, _, mod, _) = late()
    mod.post(Moderate(5, "lobby", "mute", "guy", 5))
    engine.answer()
    stage.pass_time(6000)
    assert say_later(stage, engine, guy) is None, "it has ended whatever the store says"
    engine.fail()
    assert stage.hub.moderation.rules
    stage.pass_time(11_000)
    engine.answer()
    assert not stage.hub.moderation.rules and not engine.facts()


def say_later(stage: Stage, engine: LaterEngine, client: Any) -> Code | None:
    """Publish, with all that waits before it failing."""
    client.got.clear()
    engine.fail()
    client.post(Publish(9, "lobby", pack("x")))
    engine.answer()
    stage.flush()
    answer = next(one for one in client.got if getattr(one, "id", 0) == 9)
    return Code(answer.code) if isinstance(answer, Error) else None


def test_muted_and_locked_count_for_changes_but_not_for_deletion() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    act(mod, "slow", seconds=60)
    offset = guy.ask(Publish, "lobby", pack("x"))["offset"]
    assert say(guy) == Code.SLOW_MODE
    assert "offset" in guy.ask(Edit, "lobby", offset, pack("y")), "no message, so not slowed"
    for action, lift, code in (("mute", "unmute", Code.MUTED), ("lock", "unlock", Code.FORBIDDEN)):
        assert act(mod, action, "guy") is None
        assert guy.ask(Edit, "lobby", offset, pack("z")).code == code
        assert guy.ask(React, "lobby", offset, "x", True).code == code
        assert act(mod, lift, "guy") is None
    act(mod, "mute", "guy")
    assert "offset" in guy.ask(Delete, "lobby", offset)


def test_bans_and_mutes_of_a_room_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MAX_SANCTIONS", 3)
    stage = Stage()
    mod = court(stage)[2]
    for number in range(3):
        assert act(mod, "ban", f"b{number}", seconds=10) is act(mod, "mute", f"m{number}") is None
    refusal = mod.ask(Moderate, "lobby", "ban", "b3")
    assert refusal.code == Code.BAD_ARGUMENT and refusal.field == "action" and "already" in refusal.text
    assert act(mod, "mute", "m3") == Code.BAD_ARGUMENT
    assert act(mod, "ban", "b0", seconds=20) is None, "one that is there already may be decided anew"
    stage.pass_time(11_000)
    assert act(mod, "ban", "b3") is None


def test_bans_of_the_server_and_of_all_rooms_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MAX_SANCTIONS_EVERYWHERE", 2)
    monkeypatch.setattr(facts, "MOST", {**facts.MOST, "ban": 3})
    stage = Stage()
    mod = court(stage)[2]
    assert act(mod, "ban", "b0", "") is act(mod, "ban", "b1", "") is None
    assert act(mod, "ban", "b2", "") == Code.BAD_ARGUMENT
    assert act(mod, "ban", "b2") is None
    refusal = mod.ask(Moderate, "lobby", "ban", "b3")
    assert refusal.code == Code.OVERLOADED and refusal.retry_ms and "'ban'" in refusal.text
    assert act(mod, "unban", "b0", "") is None and act(mod, "ban", "b3") is None


def test_moderators_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "MAX_OPS", 1)
    stage = Stage()
    own = court(stage)[3]
    assert act(own, "op", "guy") is None
    assert act(own, "op", "meg") == Code.BAD_ARGUMENT
    assert act(own, "op", "guy") is None and act(own, "deop", "guy") is None and act(own, "op", "meg") is None


def test_what_slow_mode_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation, "MAX_SPOKEN", 3)
    stage = Stage()
    _, meg, mod, _ = court(stage)
    act(mod, "slow", seconds=60)
    spoken = stage.hub.moderation.of("lobby").spoken  # type: ignore[union-attr]
    for name in "abcde":
        say(stage.join(name)[0])
    assert list(spoken) == ["c", "d", "e"]
    stage.pass_time(60_000)
    say(meg)
    assert list(spoken) == ["meg"], "and what has ended is forgotten"


def test_the_audit_log_has_what_was_done() -> None:
    stage = Stage()
    _, _, mod, _ = court(stage)
    act(mod, "ban", "guy", seconds=60, reason="spam", address=True)
    record = stage.engine.records[-1]  # type: ignore[attr-defined]
    assert record[:5] == (stage.now, "lobby", "mod", "ban", "guy")
    assert unpackb(record.detail) == {"id": "t:mod", "seconds": 60, "address": True, "reason": "spam"}


def test_refusals_cannot_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST", 2)
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    log = stage.engine.records  # type: ignore[attr-defined]
    for _ in range(50):
        for client in (guy, meg):
            assert act(client, "kick", "mod") == Code.FORBIDDEN
            assert act(client, "ban", "mod") == Code.FORBIDDEN
    assert [(one.by, one.action) for one in log] == [("guy", "kick"), ("guy", "ban")]
    assert stage.hub.refusals.missed == 198
    act(mod, "slow", seconds=0)
    assert log[-1].action == "slow", "what is done is always written down"
    stage.pass_time(60_000)
    act(meg, "kick", "mod")
    assert unpackb(log[-1].detail)["refused"] is True and log[-1].by == "meg"


def test_a_refusal_stays_one_when_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    guy = court(stage)[0]

    def away(*_: object) -> bool:
        raise facts.ProtocolError(Code.STORE_UNAVAILABLE, "away")

    monkeypatch.setattr(stage.engine, "keep", away)
    assert act(guy, "kick", "mod") == Code.FORBIDDEN
    assert stage.hub.refusals.missed == 1 and not stage.faults


def test_a_fault_of_ours_is_answered_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    mod = court(stage)[2]

    def fail(fact: Fact) -> None:
        raise ValueError

    monkeypatch.setattr(Moderation, "take", lambda self, fact: fail(fact))
    assert act(mod, "slow", seconds=5) == Code.INTERNAL
    assert [what for what, _ in stage.faults] == ["MODERATE slow"]


def test_the_address_of_who_comes_late_counts() -> None:
    stage = Stage()
    guy, _, mod, own = court(stage)
    assert act(mod, "ban", "guy", "", address=True) is None
    assert guy.code == Code.BANNED and notices(own) == []
    assert come_from(stage.new(), "10.0.0.0").connect("x").code == Code.BANNED


@pytest.mark.parametrize(
    "address, network",
    [
        ("", ""),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3::4%eth0", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
    ],
)
def test_what_an_address_is_banned_as(address: str, network: str) -> None:
    assert network_of(address) == network


def test_rules_as_a_model_has_them() -> None:
    """Random acts and lapses of time: who may come in and speak is what a plain model says."""
    random = Random(4)
    stage = Stage()
    mod = court(stage)[2]
    names = ["ann", "ben", "cat"]
    clients = {name: stage.new(name) for name in names}
    until: dict[tuple[str, str], float] = {}
    for _ in range(400):
        name, kind, seconds = random.choice(names), random.choice(["ban", "mute"]), random.choice([0, 3, 30])
        if random.random() < 0.5:
            assert act(mod, kind, name, seconds=seconds) is None
            until[kind, name] = stage.now + seconds * 1000 if seconds else float("inf")
        else:
            stands = until.pop((kind, name), 0) > stage.now
            outcome = act(mod, f"un{kind}", name)
            assert outcome is None if stands else outcome in (None, Code.BAD_ARGUMENT)
        stage.pass_time(random.choice([100, 1000, 5000]))
        if random.random() < 0.1:
            stage = again(stage)
            mod = become(stage.new("mod"), Role.MODERATOR)
            mod.ask(Join, "lobby")
            clients = {name: stage.new(name) for name in names}
        name = random.choice(names)
        banned, muted = (until.get((kind, name), 0) > stage.now for kind in ("ban", "mute"))
        joined = clients[name].ask(Join, "lobby")
        assert (getattr(joined, "code", None) == Code.BANNED) is banned
        if not banned:
            assert (say(clients[name]) == Code.MUTED) is muted
    stage.pass_time(31_000)
    assert len(stage.engine.facts()) == sum(one == float("inf") for one in until.values())


# --- who waits for a place meanwhile


def test_a_room_that_is_locked_meanwhile_lets_nobody_in() -> None:
    stage, engine, (guy, meg, mod, own) = late()
    new, connecting = stage.new("new"), stage.new()
    mod.post(Moderate(5, "lobby", "lock", ""))
    for one in (new, own):
        one.post(Join(2, "lobby"))
    connecting.post(Connect(1, name="pal", rooms={"lobby": None, "hall": None}))
    engine.answer()
    stage.flush()
    assert [(one.id, one.code, one.text) for one in new.take(Error)] == [
        (2, Code.FORBIDDEN, "the room is locked")
    ]
    (result,) = connecting.take(Result)
    assert result.body["rooms"]["lobby"]["error"][:2] == [Code.FORBIDDEN, "the room is locked"]
    assert set(connecting.session.rooms) == {"hall"} and not new.session.rooms and own.session.rooms
    assert not new.session.entering and not stage.hub.rooms["lobby"].entering and not stage.faults


def test_a_cap_holds_for_those_who_wait_already() -> None:
    stage, engine, (guy, meg, mod, own) = late()
    mod.post(Moderate(5, "lobby", "cap", "", members=5))
    comers = [stage.new(name) for name in ("one", "two", "three")]
    for one in comers:
        one.post(Join(2, "lobby"))
    engine.answer()
    stage.flush()
    assert [bool(one.session.rooms) for one in comers] == [False, False, True]
    assert len(stage.hub.rooms["lobby"].members) == 5 and not stage.faults


def test_who_is_banned_while_connect_waits_is_told_in_its_result() -> None:
    stage, engine, (guy, meg, mod, own) = late()
    pal = stage.new()
    mod.post(Moderate(5, "lobby", "ban", "pal"))
    pal.post(Connect(1, name="pal", rooms={"lobby": None, "hall": None}))
    engine.answer()
    stage.flush()
    (result,) = pal.take(Result)
    assert result.body["rooms"]["lobby"]["error"][0] == Code.NOT_A_MEMBER
    assert set(pal.session.rooms) == set(result.body["rooms"]) - {"lobby"} == {"hall"}
    assert not pal.session.entering and not stage.faults


def test_a_kick_does_not_wait_for_the_store() -> None:
    stage, engine, (guy, _, mod, _) = late()
    mod.post(Moderate(5, "lobby", "kick", "guy"))
    stage.flush()
    assert [type(one) for one in guy.got] == [Notice] and "lobby" not in guy.session.rooms
    assert {type(one).__name__ for one in mod.got} == {"Notice", "Result"}
    engine.fail()
    stage.flush()
    assert not mod.take(Error) and stage.hub.refusals.missed == 1


def test_a_kick_needs_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)

    def away(*_: object) -> bool:
        raise ProtocolError(Code.STORE_UNAVAILABLE, "away")

    monkeypatch.setattr(stage.engine, "keep", away)
    assert act(mod, "ban", "guy") == Code.STORE_UNAVAILABLE
    assert act(mod, "kick", "guy") is None and "lobby" not in guy.session.rooms
    assert stage.hub.refusals.missed == 1


def test_what_is_decided_and_lifted_again_and_again_does_not_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation, "FEW", 20)
    stage = Stage()
    mod = court(stage)[2]
    for number in range(300):
        assert act(mod, "ban", "guy", seconds=5 + number % 3) is None
        assert act(mod, "mute", f"user{number % 5}", seconds=9) is None
        assert act(mod, "unban", "guy") is None
        assert len(stage.hub.moderation._due) <= 20
    assert act(mod, "ban", "guy", seconds=5) is None
    stage.pass_time(10_000)
    assert not stage.hub.moderation.rules and not stage.engine.facts()
