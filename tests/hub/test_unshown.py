"""Hidden members: they hear and may speak, and nobody is told that they are there."""

from __future__ import annotations

from typing import Any

from fastchat.errors import Code
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Block,
    Join,
    Leave,
    Moderate,
    Presence,
    PresencePush,
    Publish,
    Refresh,
    State,
)
from tests.hub.stage import Stage, options, texts
from tests.identity.making import token, verifier


def watching(stage: Stage) -> Any:
    (ada,) = stage.join("ada")
    ada.ask(Join, "lobby", presence=True)
    return ada


def hidden(stage: Stage, name: str) -> Any:
    """A client whose token hides it."""
    one = stage.new()
    one.connect(token=token(sub=name, name=name, hidden=True))
    assert one.session.identity.hidden
    one.got.clear()
    return one


def test_nobody_is_told_of_a_hidden_member() -> None:
    stage = Stage(verifier=verifier())
    ada, eve = watching(stage), hidden(stage, "eve")
    result = eve.ask(Join, "lobby", presence=True)
    assert result["members"] == 1 and [name for name, *_ in result["presence"]] == ["ada"]
    assert eve.ask(State, "lobby", pack({"typing": True})) == {}
    stage.pass_time(300)
    ada.ask(Publish, "lobby", pack("1"))
    assert eve.ask(Publish, "lobby", pack("2"))["offset"] == 2
    assert texts(eve.got) == texts(ada.got) == ["1", "2"]
    assert [name for name, *_ in ada.ask(Presence, "lobby")["members"]] == ["ada"]
    eve.ask(Leave, "lobby")
    stage.pass_time(300)
    assert ada.take(PresencePush) == []


def test_a_hidden_member_hears_who_comes() -> None:
    stage = Stage(verifier=verifier())
    eve = hidden(stage, "eve")
    eve.ask(Join, "lobby", presence=True)
    stage.join("bob")
    assert [one.user for push in eve.take(PresencePush) for one in push.joined] == ["bob"]


def test_a_room_lives_while_a_hidden_member_is_in_it() -> None:
    stage = Stage(verifier=verifier())
    eve = hidden(stage, "eve")
    eve.ask(Join, "lobby")
    (bob,) = stage.join("bob")
    bob.close()
    assert stage.hub.rooms["lobby"].hidden
    eve.close()
    assert not stage.hub.rooms and not stage.faults


def test_a_hidden_member_takes_nobodys_place() -> None:
    stage = Stage(options(members=2), verifier=verifier())
    ada, eve = watching(stage), hidden(stage, "eve")
    assert eve.ask(Join, "lobby")["members"] == 1
    assert stage.new("bob").ask(Join, "lobby")["members"] == 2
    assert stage.new("carol").ask(Join, "lobby").code == Code.ROOM_FULL
    assert hidden(stage, "mallory").ask(Join, "lobby")["members"] == 2
    ada.close()
    assert stage.new("dora").ask(Join, "lobby")["members"] == 2


def test_a_cap_that_moderators_set_does_not_count_them() -> None:
    stage = Stage(verifier=verifier())
    watching(stage)
    eve = hidden(stage, "eve")
    assert eve.ask(Join, "lobby")["members"] == 1
    owner = stage.new()
    owner.connect(token=token(sub="o", name="olga", role="owner"))
    owner.ask(Join, "lobby")
    assert owner.ask(Moderate, "lobby", "cap", "", members=3) == {}
    assert stage.new("bob").ask(Join, "lobby")["members"] == 3
    assert stage.new("carol").ask(Join, "lobby").code == Code.ROOM_FULL
    assert hidden(stage, "mallory").ask(Join, "lobby")["members"] == 3


def test_a_hidden_member_may_block() -> None:
    stage = Stage(verifier=verifier())
    ada, eve = watching(stage), hidden(stage, "eve")
    eve.ask(Join, "lobby")
    eve.ask(Block, "ada", True)
    ada.ask(Publish, "lobby", pack("x"))
    assert texts(eve.got) == []


def test_a_fresh_token_hides_and_shows_nobody() -> None:
    stage = Stage(verifier=verifier())
    ada, eve = watching(stage), hidden(stage, "eve")
    eve.ask(Join, "lobby")
    assert eve.ask(Refresh, token(sub="eve", name="eve"))["expires"]
    eve.ask(Leave, "lobby")
    assert eve.ask(Join, "lobby")["members"] == 1
    eve.close()
    assert ada.ask(Presence, "lobby")["count"] == 1
    assert not stage.faults


def test_a_user_hidden_in_one_session_and_not_in_another() -> None:
    stage = Stage(verifier=verifier())
    ada, eve = watching(stage), hidden(stage, "eve")
    eve.ask(Join, "lobby")
    shown = stage.new()
    shown.connect(token=token(sub="eve", name="eve"))
    assert shown.ask(Join, "lobby")["members"] == 2
    eve.ask(State, "lobby", pack({"typing": True}))
    eve.close()
    assert [name for name, *_ in ada.ask(Presence, "lobby")["members"]] == ["ada", "eve"]
    shown.close()
    assert ada.ask(Presence, "lobby")["count"] == 1
    assert not stage.faults
