"""A store that could not be read when the server started, or is not what it was: the hub learns it later."""

from __future__ import annotations

from collections.abc import Sequence

from fastchat.broadcast import Wire
from fastchat.engine.base import UNREAD, Fact, Page, Query
from fastchat.errors import Code
from fastchat.hub.sanctions import Sanction, packed
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Connect, Error, Join, Notice, Result
from tests.engine.later import LaterEngine
from tests.hub.court import act, become
from tests.hub.stage import START, Client, Stage, options

EVE, BOB = Identity("t:eve", Role.MEMBER), Identity("t:bob", Role.MEMBER)


def ban(subject: str, room: str) -> Fact:
    return Fact("ban", room, subject, packed(Sanction(0, Role.OWNER, "eve", "own", "spam")))


def started() -> tuple[Stage, LaterEngine]:
    engine = LaterEngine(options())
    engine.down = True
    return Stage(options(), engine=engine), engine


def enter(stage: Stage, engine: LaterEngine, name: str) -> Client:
    client = stage.new(name)
    client.post(Join(1, "lobby"))
    engine.answer()
    stage.flush()
    client.got.clear()
    return client


def test_what_is_known_late_counts_from_then_on() -> None:
    stage, engine = started()
    eve, mal, bob = (enter(stage, engine, name) for name in ("eve", "mal", "bob"))
    stage.hub.known([ban("u:eve", ""), ban("u:mal", "lobby"), Fact("name", "", "dan", pack(["dan", "Dan"]))])
    stage.flush()
    assert (eve.open, eve.code) == (False, Code.BANNED)
    assert mal.open and not mal.session.rooms and [one.action for one in mal.take(Notice)] == ["ban"]
    assert bob.open and "lobby" in bob.session.rooms
    answer = mal.ask(Join, "lobby")
    assert isinstance(answer, Error) and answer.code == Code.BANNED
    assert stage.hub.owners.owner("dan") == "dan"
    assert not stage.faults


def test_while_nothing_is_known_nothing_is_decided_and_no_name_owned() -> None:
    stage, engine = started()
    mod = become(enter(stage, engine, "mod"), Role.OWNER)
    assert act(mod, "ban", "eve") is Code.STORE_UNAVAILABLE
    stage.hub.owners.claim(EVE, "Bob")
    assert stage.hub.owners.owner("bob") == ""
    stage.hub.known([Fact("name", "", "bob", pack(["bob", "Bob"]))])
    assert stage.hub.owners.taken("Bob", EVE) and not stage.hub.owners.taken("Bob", BOB)


def test_tokens_for_single_use_wait_until_it_is_known_which_are_used() -> None:
    stage, engine = started()
    for jti in ("old", "new"):
        try:
            stage.hub.once.check(Identity("t:eve", Role.MEMBER, once=jti))
        except Exception as refusal:
            assert getattr(refusal, "code", None) is Code.STORE_UNAVAILABLE
        else:
            raise AssertionError(jti)
    stage.hub.once.check(EVE)
    stage.hub.known([Fact("jti", "", "old", pack(START + 60_000))])
    stage.hub.once.check(Identity("t:eve", Role.MEMBER, once="new"))
    assert len(stage.hub.once) == 1


def test_members_of_a_room_that_is_another_come_back_to_it() -> None:
    stage = Stage(options())
    ada, bob = stage.join("ada", "bob")
    dan = stage.new("dan")
    assert "members" in dan.ask(Join, "den")
    stage.hub.moved(["lobby", "nowhere"])
    stage.flush()
    assert (ada.code, bob.code, dan.code) == (Code.STORE_UNAVAILABLE, Code.STORE_UNAVAILABLE, 0)
    assert "lobby" not in stage.hub.rooms and dan.open and not stage.faults


def test_a_room_that_cannot_be_read_keeps_nobody_from_the_others() -> None:
    engine = LaterEngine(options())
    stage = Stage(options(), engine=engine)
    read = engine.inner.read

    def partly(queries: Sequence[Query], ticket: object) -> Sequence[Page]:
        pages = zip(queries, read(queries, ticket) or (), strict=True)
        return [UNREAD if query.room == "lobby" else page for query, page in pages]

    engine.inner.read = partly  # type: ignore[method-assign]
    client = Client(stage, Wire.TCP)
    client.post(Connect(1, name="ada", rooms={"lobby": None, "den": None}))
    engine.answer()
    stage.flush()
    rooms = client.take(Result)[0].body["rooms"]
    assert rooms["lobby"]["error"][0] == Code.STORE_UNAVAILABLE and rooms["den"]["members"] == 1
    assert list(client.session.rooms) == list(stage.hub.rooms) == ["den"] and not stage.faults
