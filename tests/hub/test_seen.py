"""Who is online, and when users with a token were here last."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.config import Config
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code, ProtocolError
from fastchat.hub import seen
from fastchat.hub.limits import EXPIRE_MOST, MAX_LISTED, SEEN_MS
from fastchat.hub.seen import LastSeen, Online
from fastchat.protocol.codec import pack
from tests.engine.later import LaterEngine
from tests.hub.stage import Stage
from tests.identity.making import token, verifier


def member(stage: Stage, name: str, hidden: bool = False) -> Any:
    """A client of somebody with a token, or one more of the same user."""
    one = stage.new()
    one.connect(token=token(now=stage.now, sub=name.lower(), name=name, hidden=hidden))
    one.got.clear()
    return one


def test_last_seen_is_when_the_last_session_ended() -> None:
    stage = Stage(verifier=verifier())
    assert stage.hub.last_seen("ada") is None
    ada = member(stage, "Ada")
    second = member(stage, "Ada")
    stage.pass_time(1000)
    assert stage.hub.last_seen("ADA") == LastSeen("Ada", stage.now)
    ada.close()
    stage.pass_time(1000)
    assert stage.hub.last_seen("ada") == LastSeen("Ada", stage.now), "still here"
    second.close()
    ended = stage.now
    stage.pass_time(5000)
    assert stage.hub.last_seen("ada") == LastSeen("Ada", ended)
    ada = member(stage, "ADA")
    stage.pass_time(1000)
    assert stage.hub.last_seen("ada") == LastSeen("ADA", stage.now)


def test_guests_and_the_hidden_were_never_here() -> None:
    stage = Stage(verifier=verifier())
    guest, eve = stage.new("guest"), member(stage, "eve", hidden=True)
    assert stage.hub.last_seen("eve") is None
    assert stage.hub.last_seen("guest") == LastSeen("guest", stage.hub.now)
    guest.close()
    eve.close()
    assert stage.hub.last_seen("guest") is stage.hub.last_seen("eve") is None
    with pytest.raises(ProtocolError) as caught:
        stage.hub.last_seen("")
    assert caught.value.code == Code.BAD_ARGUMENT


def test_a_hidden_session_does_not_keep_somebody_here() -> None:
    stage = Stage(verifier=verifier())
    ada = member(stage, "ada")
    hidden = member(stage, "Ada", hidden=True)
    ada.close()
    ended = stage.now
    stage.pass_time(1000)
    assert stage.hub.last_seen("ada") == LastSeen("ada", ended)
    hidden.close()
    assert stage.hub.last_seen("ada") == LastSeen("ada", ended)


def test_it_is_kept_in_one_go_and_survives_a_restart() -> None:
    engine = MemoryEngine(Config(), "epoch")
    stage = Stage(engine=engine, verifier=verifier())
    for name in ("a", "b", "c"):
        member(stage, name).close()
    stage.pass_time(100)
    assert len(stage.hub.facts.of("seen")) == 3
    member(stage, "d").close()
    stage.pass_time(SEEN_MS - 200)
    assert len(stage.hub.facts.of("seen")) == 3
    stage.pass_time(200)
    assert len(stage.hub.facts.of("seen")) == 4
    member(stage, "e")
    stage.hub.drain(stage.now, 0)
    other = Stage(engine=engine, verifier=verifier())
    assert {name: other.hub.last_seen(name) is not None for name in "abcdef"} == dict.fromkeys(
        "abcde", True
    ) | {"f": False}


def test_a_crowd_that_leaves_is_kept_in_lots() -> None:
    stage = Stage(verifier=verifier())
    for number in range(EXPIRE_MOST + 1):
        stage.hub.seen._lots.put("", f"u{number}", pack([f"u{number}", 1]))
    stage.pass_time(100)
    assert len(stage.hub.facts.of("seen")) == EXPIRE_MOST
    stage.pass_time(1000)
    assert len(stage.hub.facts.of("seen")) == EXPIRE_MOST + 1


def test_the_longest_gone_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MAX_SEEN", 10)
    stage = Stage(verifier=verifier())
    for number in range(25):
        member(stage, f"u{number}").close()
        stage.pass_time(SEEN_MS if number % 5 == 4 else 10)
        if number == 20:
            member(stage, "u14").close()
    stage.pass_time(SEEN_MS)
    known = {name for _, name in stage.hub.facts.of("seen")}
    assert known == {"u14", *(f"u{number}" for number in range(16, 25))}


def test_a_store_that_fails_loses_nothing() -> None:
    engine = LaterEngine(Config())
    stage = Stage(engine=engine, verifier=verifier())
    member(stage, "ada").close()
    ended = stage.now
    stage.pass_time(100)
    engine.fail()
    assert stage.hub.last_seen("ada") == LastSeen("ada", ended)
    stage.pass_time(SEEN_MS)
    engine.answer()
    assert stage.hub.facts.of("seen") == {("", "ada"): pack(["ada", ended])}
    assert not stage.faults


def test_pages_of_who_is_online() -> None:
    stage = Stage(verifier=verifier())
    for _ in range(2):
        member(stage, "Ada")
    member(stage, "Ada", hidden=True)
    member(stage, "eve", hidden=True)
    for name in ("dora", "Bob", "carl"):
        stage.new(name)
    assert stage.hub.online() == [Online("Ada", 2), Online("Bob", 1), Online("carl", 1), Online("dora", 1)]
    assert stage.hub.online(limit=2) == [Online("Ada", 2), Online("Bob", 1)]
    assert stage.hub.online("bob", 1) == [Online("carl", 1)]
    assert stage.hub.online("dora") == []


def test_a_page_is_bounded() -> None:
    stage = Stage(verifier=verifier())
    for _ in range(MAX_LISTED + 1):
        stage.new().connect()
    assert len(stage.hub.online(limit=10**9)) == MAX_LISTED
