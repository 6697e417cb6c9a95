"""Presence of a user with several sessions: one member, however many of them are in the room."""

from __future__ import annotations

from typing import Any

from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Join, Leave, Member, Presence, PresencePush, Publish, State
from tests.hub.stage import Stage, options, texts
from tests.identity.making import token, verifier


def session(stage: Stage, name: str, *rooms: str) -> Any:
    """One session, the first or a further one, of a user with a token."""
    one = stage.new()
    one.connect(token=token(now=stage.now, sub=name, name=name))
    for room in rooms:
        one.ask(Join, room)
    one.got.clear()
    return one


def scene() -> tuple[Stage, Any, Any]:
    """A stage, one who watches the lobby, and bob in it."""
    stage = Stage(verifier=verifier())
    (watcher,) = stage.join("ada")
    bob = session(stage, "bob", "lobby")
    stage.pass_time(1000)
    watcher.ask(Join, "lobby", presence=True)
    watcher.got.clear()
    return stage, watcher, bob


def told(stage: Stage, watcher: Any) -> list[PresencePush]:
    stage.pass_time(300)
    return list(watcher.take(PresencePush))


def test_a_second_session_is_not_told_and_counts_once() -> None:
    stage, watcher, bob = scene()
    second = session(stage, "bob")
    since = [member for member in watcher.ask(Presence, "lobby")["members"] if member[0] == "bob"][0][2]
    stage.pass_time(1000)
    result = second.ask(Join, "lobby", presence=True)
    assert result["members"] == 2
    assert [member for member in result["presence"] if member[0] == "bob"] == [["bob", None, since]]
    assert told(stage, watcher) == []


def test_the_member_leaves_with_the_last_session() -> None:
    stage, watcher, bob = scene()
    second, third = session(stage, "bob", "lobby"), session(stage, "bob", "lobby")
    bob.close()
    second.ask(Leave, "lobby")
    assert told(stage, watcher) == []
    third.close()
    assert told(stage, watcher) == [PresencePush("lobby", (), ("bob",), 1)]


def test_a_session_elsewhere_does_not_count() -> None:
    stage, watcher, bob = scene()
    session(stage, "bob", "kitchen")
    bob.ask(Leave, "lobby")
    assert [push.left for push in told(stage, watcher)] == [("bob",)]
    assert stage.hub.rooms["kitchen"].presence.members["bob"].sessions == 1


def test_the_state_is_the_users_and_the_last_one_counts() -> None:
    stage, watcher, bob = scene()
    second = session(stage, "bob", "lobby")
    since = stage.hub.rooms["lobby"].presence.members["bob"].since
    bob.ask(State, "lobby", pack({"typing": True}))
    second.ask(State, "lobby", pack({"away": True}))
    assert [push.joined for push in told(stage, watcher)] == [(Member("bob", {"away": True}, since),)]
    bob.ask(Leave, "lobby")
    assert told(stage, watcher) == [], "it is not the state of this session"
    bob.ask(Join, "lobby")
    second.close()
    assert [push.joined for push in told(stage, watcher)] == [(Member("bob", None, since),)]


def test_each_session_has_a_place_of_its_own() -> None:
    stage = Stage(options(radius=10.0), verifier=verifier())
    ada, bob = session(stage, "ada", "lobby"), session(stage, "bob", "lobby")
    second = session(stage, "bob", "lobby")
    for one, x in ((ada, 0), (bob, 5), (second, 50)):
        one.ask(State, "lobby", pack({"at": [x, 0]}))
    ada.ask(Publish, "lobby", pack("x"))
    assert [texts(one.got) for one in (ada, bob, second)] == [["x"], ["x"], []]
    assert len(stage.hub.rooms["lobby"].presence) == 2
