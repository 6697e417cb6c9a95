"""Tokens in the hub: who comes in under which name, into which rooms, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fastchat.config import Config, Guests, RoomOptions
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code, ProtocolError
from fastchat.hub import Peer, expiry, facts, owners, proving
from fastchat.hub.facts import Facts
from fastchat.hub.owners import Owners
from fastchat.hub.roles import role_of
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Bye, Connect, Error, Join, Notice, Ping, Publish, Refresh
from tests.hub.stage import START, Client, Stage, options
from tests.hub.test_later import LaterStage
from tests.identity.making import part, token, verifier

MINUTE = 60_000  # ms


def stage_of(kind: type[Stage] = Stage, **given: Any) -> Stage:
    return kind(verifier=verifier(), **given)


def come(stage: Stage, **given: Any) -> tuple[Client, Any]:
    """Connect with a token of these claims; returns the client and the result."""
    opts = {key: given.pop(key) for key in ("rooms_", "resume", "wanted") if key in given}
    client: Client = stage.new()
    body = client.connect(
        opts.get("wanted"), token=token(now=stage.now, **given), resume=opts.get("resume"),
        rooms=opts.get("rooms_", {}),
    )  # fmt: skip
    return client, body


def test_a_token_names_its_user() -> None:
    stage = stage_of()
    client, body = come(stage, role="owner")
    assert (body["user"], body["expires"]) == ("Ada", START + 600_000)
    session = client.session
    assert session.user.id == session.identity.id == "t:u1"
    assert role_of(session, "lobby") is Role.OWNER


def test_a_guest_has_an_id_and_no_end() -> None:
    stage = stage_of()
    client, other = stage.new(), stage.new("bob")
    body = client.connect("ada")
    assert "expires" not in body and len(stage.hub.expiry) == 0
    assert client.session.user.id == client.session.identity.id
    assert client.session.identity.id.startswith("g:") and len(client.session.identity.id) == 18
    assert client.session.identity != other.session.identity
    assert role_of(client.session, "lobby") is Role.GUEST


def test_the_sub_is_the_name_where_there_is_no_other() -> None:
    stage = stage_of()
    assert come(stage, name=None, sub="player-7")[1]["user"] == "player-7"
    refusal = come(stage, name=None, sub="x" * 33)[1]
    assert (refusal.code, refusal.field) == (Code.TOKEN_INVALID, "token")


def test_the_name_that_is_wanted_is_the_tokens() -> None:
    stage = stage_of()
    assert come(stage, wanted="ADA")[1]["user"] == "Ada"
    refusal = come(stage, wanted="bob")[1]
    assert (refusal.code, refusal.field) == (Code.NAME_TAKEN, "name")


def test_one_user_may_have_several_sessions() -> None:
    stage = stage_of()
    first, second = come(stage)[0], come(stage, name="ADA")[0]
    assert first.session.user is second.session.user and first.open
    second.send(Block(1, "bob", True))
    second.close()
    assert first.session.user.blocks == {"bob"} and first.ask(Ping)


# --- who may come in


PLACES = {
    "this machine": (Peer("127.0.0.1", "tcp", False), {Guests.LOCAL, Guests.ANYONE}),
    "this machine, IPv6": (Peer("::1", "ws", True), {Guests.LOCAL, Guests.ANYONE}),
    "the Unix socket": (Peer("", "unix", False), {Guests.LOCAL, Guests.ANYONE}),
    "another machine": (Peer("192.0.2.7", "tcp", True), {Guests.ANYONE}),
    "another machine, IPv6": (Peer("fe80::1%eth0", "tcp", True), {Guests.ANYONE}),
}


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize("guests", Guests)
@pytest.mark.parametrize("peer, welcome", PLACES.values(), ids=PLACES)
def test_guests_come_in_where_they_may(
    peer: Peer, welcome: set[Guests], guests: Guests, insecure: bool
) -> None:
    stage = stage_of(config=Config(guests=guests, allow_insecure_bind=insecure))
    client = stage.new()
    client.session.peer = peer
    answer = client.connect("ada")
    if guests in welcome:
        assert answer["user"] == "ada"
        return
    assert (answer.code, answer.field) == (Code.FORBIDDEN, "token")
    assert "a token is needed" in answer.text
    assert client.connect(token=token())["user"] == "Ada", "the connection stays usable"


def test_who_was_a_guest_needs_a_token_to_come_back_too() -> None:
    stage = stage_of(config=Config(guests=Guests.NOBODY))
    refusal = stage.new().connect(resume="0" * 32)
    assert refusal.code == Code.FORBIDDEN


# --- tokens that do not count


ISSUED = {"iss": "https://id.example.org"}
BAD: dict[str, tuple[str, Code]] = {
    "expired": (token(**ISSUED, exp=START // 1000), Code.TOKEN_EXPIRED),
    "unsigned": (f"{part({'alg': 'none'})}.{token().split('.')[1]}.", Code.TOKEN_INVALID),
    "of another algorithm": (token("EdDSA", **ISSUED), Code.TOKEN_INVALID),
    "of another key": (token(**ISSUED, number=1), Code.TOKEN_INVALID),
    "of another audience": (token(**ISSUED, aud="mail"), Code.TOKEN_INVALID),
    "of another issuer": (token(iss="https://evil.example.org"), Code.TOKEN_INVALID),
    "of a key that nobody knows": (token(**ISSUED, kid="7"), Code.TOKEN_INVALID),
    "not valid yet": (token(**ISSUED, nbf=START // 1000 + 60), Code.TOKEN_INVALID),
    "too long lived": (token(**ISSUED, exp=START // 1000 + 7200), Code.TOKEN_INVALID),
    "too long": ("x" * 5000, Code.TOKEN_INVALID),
    "garbage": ("x", Code.TOKEN_INVALID),
    "empty": ("", Code.TOKEN_INVALID),
}


@pytest.fixture
def strict() -> Iterator[Stage]:
    stage = Stage(verifier=verifier(issuer="https://id.example.org"))
    yield stage
    assert not stage.faults


@pytest.mark.parametrize("text, code", BAD.values(), ids=BAD)
def test_a_bad_token_counts_nowhere(strict: Stage, text: str, code: Code) -> None:
    refusal = strict.new().connect("ada", token=text)
    assert (refusal.code, refusal.field) == (code, "token")
    client = come(strict, **ISSUED)[0]
    before = client.session.identity
    for answer in (client.ask(Refresh, text), client.ask(Join, "team:red", token=text)):
        assert (answer.code, answer.field) == (code, "token")
    assert client.session.identity is before and client.session.grants is None
    assert not client.session.rooms


@pytest.mark.parametrize("text, code", [BAD["garbage"], BAD["expired"]])
def test_the_third_bad_token_ends_the_connection(text: str, code: Code) -> None:
    stage = stage_of()
    client = stage.new()
    for number in range(3):
        assert client.open
        client.send(Connect(number + 1, token=text))
    assert [one.code for one in client.take(Error)] == [code] * 3
    assert [one.code for one in client.take(Bye)] == [code] and not client.open


def test_a_good_token_is_not_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    class Looking:
        def verify(self, text: str, now: int) -> Identity:
            looked.append(text)
            return verifier().verify(text, now)

    stage = stage_of()
    monkeypatch.setattr(stage.hub, "verifier", Looking())
    client = stage.new()
    for number in range(100):
        client.send(Connect(number + 1, token=token(), name="bob" if number % 2 else "x" * 99))
    assert len(looked) == 5 and client.code == Code.NAME_TAKEN and not client.open


def test_a_server_without_keys_takes_no_tokens() -> None:
    stage = Stage()
    refusal = stage.new().connect("ada", token=token())
    assert (refusal.code, refusal.field) == (Code.TOKEN_INVALID, "token")


# --- names


def test_a_name_belongs_to_who_first_came_with_a_token() -> None:
    stage = stage_of()
    come(stage)[0].close()
    for name in ("ada", "ADA", "\u0430da"):
        refusal = stage.new().connect(name)
        assert (refusal.code, refusal.field) == (Code.NAME_TAKEN, "name"), name
    assert come(stage, sub="u2")[1].code == Code.NAME_TAKEN
    assert come(stage, sub="u2", name="\u0430da")[1].code == Code.NAME_TAKEN
    assert come(stage)[1]["user"] == "Ada"


def test_a_name_belongs_to_somebody_after_a_restart_too() -> None:
    engine = MemoryEngine(Config(), "epoch")
    come(stage_of(engine=engine), name="Iain")
    stage = stage_of(engine=engine)
    for name in ("iain", "lain", "\u0456ain"):
        assert stage.new().connect(name).code == Code.NAME_TAKEN, name
    assert come(stage, sub="u2", name="lain")[1].code == Code.NAME_TAKEN
    assert come(stage, name="lain")[1]["user"] == "lain", "the owner may look like themselves"


@pytest.mark.parametrize("name", ["ada", "ADA", "\u0430da"])
def test_a_guest_keeps_nobody_from_their_name(name: str) -> None:
    stage = stage_of()
    guest, other = stage.new(), stage.new("bob")
    secret = guest.connect(name, rooms={"lobby": None})["session"]
    client, body = come(stage, rooms_={"lobby": None})
    assert body["user"] == "Ada" and body["rooms"]["lobby"]["members"] == 1
    assert [(one.code, one.reconnect) for one in guest.take(Bye)] == [(Code.REPLACED, False)]
    assert client.open and other.open and come(stage)[0].open and client.open, "nobody else has to go"
    assert stage.new().connect(name, resume=secret).code == Code.NAME_TAKEN
    client.close()
    assert stage.new().connect(resume=secret)["user"].startswith("guest-")
    assert not stage.faults


def test_a_connect_that_is_refused_displaces_nobody() -> None:
    stage = stage_of()
    come(stage, jti="j1", once=True)[0].close()
    guest = stage.new("bob")
    assert come(stage, name="bob", jti="j1", once=True)[1].code == Code.TOKEN_INVALID
    assert come(stage, sub="u2", name="Ada")[1].code == Code.NAME_TAKEN
    assert guest.open and len(stage.hub.owners) == 1


@pytest.mark.parametrize("first, second", [("Iain", "lain"), ("modem", "modern"), ("ada", "\u0430da")])
def test_nobody_looks_like_somebody_here(first: str, second: str) -> None:
    stage = stage_of()
    for one, other in ((first, second), (second, first)):
        client, _ = come(stage, name=one)
        for refusal in (stage.new().connect(other), come(stage, sub="u2", name=other)[1]):
            assert (refusal.code, refusal.field) == (Code.NAME_TAKEN, "name")
        client.close()
        stage = stage_of()
        client = stage.new(one)
        assert stage.new().connect(other).code == Code.NAME_TAKEN
        client.close()
    assert not stage.hub.users._looks


def test_another_case_does_not_slip_past_who_looks_like_it() -> None:
    stage = stage_of()
    first = stage.new()
    secret = first.connect("iain")["session"]
    stage.new("lain")
    assert stage.new().connect("Iain", resume=secret).code == Code.NAME_TAKEN
    assert first.open


@pytest.mark.parametrize("name", ["\u115f", "\ufe0f\ufe0f"])
def test_a_name_of_which_nothing_is_to_be_seen(name: str) -> None:
    assert Stage().new().connect(name).code == Code.NAME_TAKEN


def test_the_names_that_are_owned_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MOST", 2)
    engine = MemoryEngine(Config(), "epoch")
    stage = stage_of(engine=engine)
    for number in (1, 2, 1, 3):
        come(stage, sub=f"u{number}", name=f"modem{number}")[0].close()
    assert len(stage.hub.owners) == 2 and len(engine.facts()) == 2
    assert stage.new().connect("modern2")["user"] == "modern2", "who has not come for longest has lost it"
    assert stage.new().connect("modern1").code == Code.NAME_TAKEN


def test_no_name_of_ones_own_beside_that_of_another() -> None:
    engine = MemoryEngine(Config(), "epoch")
    all_names = Owners(Facts(engine))
    ada, bob = Identity("t:ada"), Identity("t:bob")
    all_names.claim(ada, "iain")
    all_names.claim(bob, "lain")
    assert all_names.taken("Iain", ada) and all_names.taken("Iain", bob)
    assert not all_names.taken("iain", ada) and not all_names.taken("lain", bob)


# --- coming back


def test_the_secret_and_a_token_take_over() -> None:
    stage = stage_of()
    first, body = come(stage)
    first.send(Block(1, "bob", True))
    second, _ = come(stage, resume=body["session"])
    assert first.code == Code.REPLACED and second.session.user.blocks == {"bob"}


def test_the_secret_alone_does_not() -> None:
    stage = stage_of()
    first, body = come(stage)
    secret = body["session"]
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert stage.new().connect(resume=secret)["user"].startswith("guest-")
    assert come(stage, sub="u2", resume=secret)[1].code == Code.NAME_TAKEN
    first.close()
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert stage.new().connect(resume=secret)["user"].startswith("guest-")
    other, body = come(stage, sub="u2", name="bob", resume=secret)
    assert body["user"] == "bob" and other.session.user.blocks == frozenset()


@pytest.mark.parametrize("living", [True, False])
def test_a_guest_stays_who_they_are(living: bool) -> None:
    stage = stage_of()
    client = stage.new()
    body = client.connect("ada")
    id = client.session.identity.id
    if not living:
        client.close()
    back = stage.new()
    back.connect("ada", resume=body["session"])
    assert back.session.identity.id == back.session.user.id == id
    back.close()
    assert stage.new().connect("ada")["user"] == "ada"
    assert next(iter(stage.hub.sessions)).identity.id != id


@pytest.mark.parametrize("living", [True, False])
def test_a_guest_may_go_on_with_a_token(living: bool) -> None:
    stage = stage_of()
    guest = stage.new()
    body = guest.connect("ada")
    if not living:
        guest.close()
    client, result = come(stage, resume=body["session"])
    assert result["user"] == "Ada" and client.session.user.id == "t:u1"
    assert guest.code == (Code.REPLACED if living else 0)


# --- rooms


def test_only_the_rooms_of_the_token_are_open() -> None:
    stage = stage_of()
    client, body = come(
        stage, rooms=["team:red*", "lobby"], rooms_={"lobby": None, "team:blue": None, "team:red": None}
    )
    assert body["rooms"]["team:blue"]["error"][0] == Code.FORBIDDEN
    assert set(client.session.rooms) == {"lobby", "team:red"}
    assert client.ask(Join, "hall").code == Code.FORBIDDEN
    assert client.ask(Join, "team:redder")["members"] == 1
    assert "hall" not in stage.hub.rooms


def test_roles_by_room() -> None:
    stage = stage_of()
    client, _ = come(
        stage, role="moderator", roles={"team:*": "owner", "team:red": "member", "hall": "guest"}
    )
    found = {room: role_of(client.session, room) for room in ("lobby", "team:blue", "team:red", "hall")}
    assert found == {
        "lobby": Role.MODERATOR, "team:blue": Role.OWNER, "team:red": Role.OWNER, "hall": Role.GUEST
    }  # fmt: skip


def test_a_join_token_opens_a_room() -> None:
    stage = stage_of()
    client, _ = come(stage, rooms=["lobby"])
    ticket = token(rooms=["team:red"], roles={"team:red": "moderator"})
    assert client.ask(Join, "team:blue", token=ticket).code == Code.FORBIDDEN
    assert client.ask(Join, "team:red", token=ticket)["members"] == 1
    assert role_of(client.session, "team:red") is Role.MODERATOR
    assert role_of(client.session, "lobby") is Role.MEMBER
    assert client.ask(Join, "team:blue").code == Code.FORBIDDEN
    foreign = client.ask(Join, "team:blue", token=token(sub="u2"))
    assert (foreign.code, foreign.field) == (Code.TOKEN_INVALID, "token")


def test_a_join_token_for_a_guest() -> None:
    stage = stage_of()
    guest = stage.new("bob")
    assert guest.ask(Join, "team:red", token=token(name="Ada")).code == Code.TOKEN_INVALID
    for given in ({"name": None}, {"name": "BOB"}):
        assert guest.ask(Join, "team:red", token=token(sub="p7", **given))["members"] == 1
    assert role_of(guest.session, "team:red") is Role.MEMBER
    assert role_of(guest.session, "lobby") is Role.GUEST


@pytest.mark.parametrize("given, opened", [({}, False), ({"rooms": ["*"]}, True), ({"rooms": ["a"]}, False)])
def test_a_join_token_that_names_no_rooms_opens_none_that_is_closed(given: Any, opened: bool) -> None:
    stage = stage_of(config=options(closed=True))
    client, guest = come(stage)[0], stage.new("bob")
    for one in (client, guest):
        answer = one.ask(Join, "team:red", token=token(name=None, **given))
        assert isinstance(answer, Error) is not opened
        assert opened or answer.code == Code.FORBIDDEN


@pytest.mark.parametrize("living", [True, False])
def test_what_a_join_token_opened_stays_open_for_who_comes_back(living: bool) -> None:
    stage = stage_of()
    client, body = come(stage, rooms=[])
    ticket = token(rooms=["team:red"], jti="j1", once=True)
    client.send(Join(2, "team:red", token=ticket))
    if not living:
        client.close()
    back, result = come(stage, rooms=[], resume=body["session"], rooms_={"team:red": None})
    assert result["rooms"]["team:red"]["members"] == 1
    assert back.ask(Refresh, token(rooms=[]))
    assert set(back.session.rooms) == {"team:red"}
    assert come(stage, rooms=[], rooms_={"team:red": None})[1]["rooms"]["team:red"]["error"][0] == 203


def test_rooms_opened_by_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "MAX_GRANTS", 1)
    stage = stage_of()
    client, _ = come(stage, rooms=[])
    assert client.ask(Join, "a", token=token()) and client.ask(Join, "a", token=token(role="owner"))
    assert client.ask(Join, "b", token=token()).code == Code.TOO_MANY_ROOMS
    assert role_of(client.session, "a") is Role.OWNER


# --- single use


def test_a_token_for_single_use_counts_once() -> None:
    stage = stage_of()
    client, _ = come(stage, jti="j1", once=True)
    for refusal in (
        come(stage, jti="j1", once=True)[1],
        come(stage, sub="u2", name="bob", jti="j1", once=True)[1],
        come(stage, sub="u3", name="eve")[0].ask(Join, "a", token=token(sub="u3", jti="j1", once=True)),
    ):
        assert (refusal.code, refusal.field) == (Code.TOKEN_INVALID, "token")
        assert "single use" in refusal.text
    assert client.open and come(stage, jti="j2", once=True)[1]["user"] == "Ada"


def test_a_jti_that_is_not_for_single_use_counts_often() -> None:
    stage = stage_of()
    assert come(stage, jti="j1")[1]["user"] == come(stage, jti="j1")[1]["user"] == "Ada"


@pytest.mark.parametrize("living", [True, False])
def test_with_the_secret_of_its_session_it_counts_again(living: bool) -> None:
    stage = stage_of()
    client, body = come(stage, jti="j1", once=True)
    if not living:
        client.close()
    assert come(stage, jti="j1", once=True, resume=body["session"])[1]["user"] == "Ada"


def test_a_used_token_stays_used_after_a_restart_until_it_has_expired() -> None:
    engine = MemoryEngine(Config(), "epoch")
    come(stage_of(engine=engine), jti="j1", once=True)
    stage = stage_of(engine=engine)
    assert "single use" in come(stage, jti="j1", once=True)[1].text
    assert [fact.kind for fact in engine.facts()] == ["name", "jti"]
    stage.pass_time(10 * MINUTE + 100)
    assert len(stage.hub.once) == 0 and [fact.kind for fact in engine.facts()] == ["name"]


def test_used_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MOST", {**facts.MOST, "jti": 2})
    stage = stage_of()
    for number in range(2):
        come(stage, jti=f"j{number}", once=True)
    client, refusal = come(stage, jti="j2", once=True)
    assert refusal.code == Code.OVERLOADED and refusal.retry_ms
    stage.pass_time(10 * MINUTE + 100)
    assert client.connect(token=token(now=stage.now, jti="j2", once=True))["user"] == "Ada"


def test_a_name_is_owned_and_kept_later_while_the_store_has_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MemoryEngine(Config(), "epoch")
    stage = stage_of(engine=engine)

    def full(*arguments: object) -> bool:
        raise ProtocolError(Code.OVERLOADED, "more waits to be stored than may wait", retry_ms=100)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "keep", full)
        assert come(stage)[1]["user"] == "Ada"
        assert len(stage.hub.owners) == 1 and not engine.facts()
    stage.pass_time(1100)
    assert [fact.kind for fact in engine.facts()] == ["name"] and not stage.faults


def test_a_key_belongs_to_who_has_shown_a_token() -> None:
    stage = stage_of()
    stage.join("bob")
    for number, (sub, duplicate) in enumerate([("u1", False), ("u1", True), ("u2", False)]):
        one = stage.new()
        one.connect(token=token(sub=sub, name=f"name{number}"), rooms={"lobby": None})
        assert one.ask(Publish, "lobby", pack("x"), key="k").get("duplicate", False) == duplicate
        one.close()


def test_what_cannot_be_remembered_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MemoryEngine(Config(), "epoch")
    stage = stage_of(engine=engine)
    come(stage)[0].close()

    def fail(*arguments: object) -> bool:
        raise ProtocolError(Code.STORE_UNAVAILABLE, "the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "keep", fail)
        client, refusal = come(stage, jti="j1", once=True)
        assert refusal.code == Code.STORE_UNAVAILABLE
        assert come(stage, sub="u2", name="bob")[1].code == Code.STORE_UNAVAILABLE, "nor is a name owned"
        assert len(stage.hub.once) == 0 and len(stage.hub.owners) == 1
    assert client.connect(token=token(jti="j1", once=True))["user"] == "Ada"
    with monkeypatch.context() as patch:
        patch.setattr(engine, "keep", fail)
        stage.pass_time(10 * MINUTE + 100)
        assert len(stage.hub.once) == 1, "forgotten later"
    stage.pass_time(100)
    assert len(stage.hub.once) == 0 and not stage.faults


# --- the end


def test_a_session_ends_with_its_token() -> None:
    stage = stage_of()
    client, _ = come(stage, exp=START // 1000 + 60)
    guest = stage.new("bob")
    stage.pass_time(MINUTE - 1)
    assert client.open
    stage.pass_time(100)
    (bye,) = client.take(Bye)
    assert (bye.code, bye.reconnect) == (Code.TOKEN_EXPIRED, False)
    assert not client.open and guest.open and len(stage.hub.expiry) == 0


def test_a_refresh_lets_it_go_on() -> None:
    stage = stage_of()
    client, _ = come(stage, exp=START // 1000 + 60)
    stage.pass_time(30_000)
    assert client.ask(Refresh, token(now=stage.now)) == {"expires": stage.now + 600_000}
    stage.pass_time(MINUTE)
    assert client.open and len(stage.hub.expiry) == 1
    client.send(Refresh(0, token(now=stage.now, exp=stage.now // 1000 + 1)))
    stage.pass_time(1100)
    assert client.code == Code.TOKEN_EXPIRED


def test_one_tick_ends_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "MOST", 3)
    stage = stage_of()
    clients = [come(stage, exp=START // 1000 + 60 + number % 2)[0] for number in range(8)]
    stage.now += 2 * MINUTE
    ended = []
    for _ in range(4):
        stage.hub.tick(stage.now)
        ended.append(sum(client.code == Code.TOKEN_EXPIRED for client in clients))
    assert ended == [3, 6, 8, 8]


def test_who_has_gone_is_not_waited_for() -> None:
    stage = stage_of()
    for _ in range(3):
        come(stage)[0].close()
    assert len(stage.hub.expiry) == 0
    stage.pass_time(11 * MINUTE)
    assert not stage.hub.expiry._heap and not stage.hub.expiry._grains


# --- REFRESH


def test_a_refresh_is_of_the_same_user() -> None:
    stage = stage_of()
    client, guest = come(stage)[0], stage.new("bob")
    for one, text in ((client, token(sub="u2")), (guest, token(sub="bob", name="bob"))):
        refusal = one.ask(Refresh, text)
        assert (refusal.code, refusal.field) == (Code.TOKEN_INVALID, "token")
    assert client.session.identity.id == "t:u1" and guest.session.identity.guest


def test_what_the_new_token_allows_counts_at_once() -> None:
    stage = stage_of()
    client, _ = come(stage, rooms_={"lobby": None, "team:red": None})
    (bob,) = stage.join("bob", room="team:red")
    client.got.clear()
    assert client.ask(Refresh, token(rooms=["lobby"], role="owner", name="Eve"))
    (notice,) = client.take(Notice)
    assert (notice.room, notice.action, notice.user) == ("team:red", "kick", "Ada")
    assert set(client.session.rooms) == {"lobby"} and role_of(client.session, "lobby") is Role.OWNER
    assert bob.ask(Join, "team:red")["members"] == 1
    assert client.ask(Join, "team:red").code == Code.FORBIDDEN
    assert client.session.user.name == "Ada"


def test_a_member_does_not_become_hidden_on_the_way() -> None:
    stage = stage_of()
    client, _ = come(stage)
    client.send(Refresh(0, token(hidden=True)))
    assert not client.session.identity.hidden


def test_a_refresh_for_single_use() -> None:
    stage = stage_of()
    client, _ = come(stage, jti="j1", once=True)
    assert client.ask(Refresh, token(jti="j2", once=True)), "another"
    assert client.ask(Refresh, token(jti="j2", once=True)), "the one it has"
    assert client.ask(Refresh, token(jti="j1", once=True)).code == Code.TOKEN_INVALID


def test_who_waits_for_a_room_that_is_closed_meanwhile() -> None:
    stage = LaterStage()
    stage.hub.verifier = verifier()
    client = stage.new()
    client.post(Connect(1, token=token()))
    stage.answer()
    client.post(Join(2, "team:red"), Refresh(3, token(rooms=["lobby"])))
    stage.answer()
    assert [one.code for one in client.take(Error)] == [Code.NOT_A_MEMBER]
    assert not client.session.rooms and not stage.hub.rooms and not stage.faults


def test_nothing_of_a_token_is_in_what_the_server_says_or_shows() -> None:
    stage = stage_of()
    client, _ = come(stage)
    text = token()
    shown = repr([client.session.identity, stage.hub.verifier, client.got, stage.hub.resumes._living])
    assert text not in shown and replace(client.session.identity) == client.session.identity


def test_a_closed_room_is_open_to_whom_a_token_names_it() -> None:
    rooms = {"default": RoomOptions(), "team": RoomOptions(closed=True)}
    stage = stage_of(config=Config(rooms=rooms, rate_limits=False, guests=Guests.ANYONE))
    opened: dict[str, Any] = {}
    for who, given in {
        "all": {}, "red": {"rooms": ["team:red"]}, "teams": {"rooms": ["team:*"]}, "any": {"rooms": ["*"]},
        "owner": {"role": "owner"},
    }.items():  # fmt: skip
        client, _ = come(stage, sub=who, name=who, **given)
        answers = {room: client.ask(Join, room) for room in ("team:red", "team:blue", "lobby")}
        opened[who] = [room for room, answer in answers.items() if not isinstance(answer, Error)]
    assert opened == {
        "all": ["lobby"],
        "red": ["team:red"],
        "teams": ["team:red", "team:blue"],
        "any": ["team:red", "team:blue", "lobby"],
        "owner": ["lobby"],
    }
    guest = stage.new("guest")
    assert guest.ask(Join, "team:red").code == Code.FORBIDDEN
    ticket = token(now=stage.now, sub="x", name="guest", rooms=["team:red"])
    assert guest.ask(Join, "team:red", token=ticket)["members"]
    assert guest.ask(Join, "team:blue").code == Code.FORBIDDEN
