"""Join tokens: how long their roles last, and when they are used up."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.errors import Code, ProtocolError
from fastchat.hub.roles import role_of
from fastchat.identity.base import Role
from fastchat.protocol.messages import Connect, Error, Join, Refresh
from tests.hub.court import act, become
from tests.hub.stage import START, Client, Stage, options
from tests.hub.test_later import LaterStage
from tests.identity.making import token, verifier

MINUTE = 60_000  # ms


def stage_of(**given: Any) -> Stage:
    return Stage(options(**given), verifier=verifier())


def come(stage: Stage, resume: str | None = None, **given: Any) -> tuple[Client, str]:
    """Connect with a token; returns the client and its secret."""
    client: Client = stage.new()
    body = client.connect(token=token(now=stage.now, **given), resume=resume, rooms={"lobby": None})
    return client, body["session"]


def opened(client: Client, **given: Any) -> Any:
    """Join the lobby by a join token."""
    return client.ask(Join, "lobby", token=token(now=client.stage.now, **given))


def test_a_role_ends_with_its_join_token_and_the_room_stays_open() -> None:
    stage = stage_of(closed=True)
    guest = stage.new("bob")
    ticket = {"sub": "p7", "name": None, "rooms": ["lobby"]}
    assert opened(guest, **ticket, role="owner", exp=START // 1000 + 60)["members"] == 1
    assert role_of(guest.session, "lobby") is Role.OWNER
    stage.pass_time(MINUTE)
    assert role_of(guest.session, "lobby") is Role.GUEST and "lobby" in guest.session.rooms
    assert guest.ask(Join, "lobby")["members"] == 1
    assert opened(guest, **ticket)["members"] == 1, "what has ended is no higher role"
    assert role_of(guest.session, "lobby") is Role.MEMBER


def test_of_two_join_tokens_the_higher_role_counts() -> None:
    stage = stage_of()
    client, _ = come(stage)
    opened(client, role="owner", exp=START // 1000 + 60)
    opened(client, role="moderator", exp=START // 1000 + 120)
    assert role_of(client.session, "lobby") is Role.OWNER


def test_another_token_says_what_counts_from_now_on() -> None:
    stage = stage_of()
    client, _ = come(stage)
    opened(client, role="owner", jti="j1", once=True)
    assert client.ask(Refresh, token(now=stage.now))
    assert role_of(client.session, "lobby") is Role.OWNER, "the same token"
    assert client.ask(Refresh, token(now=stage.now, role="guest", rooms=[]))
    assert role_of(client.session, "lobby") is Role.GUEST and "lobby" in client.session.rooms
    assert opened(client, role="owner", jti="j1", once=True).code == Code.TOKEN_INVALID


@pytest.mark.parametrize("living", [True, False])
@pytest.mark.parametrize("role, kept", [("member", True), ("guest", False)])
def test_who_comes_back_with_another_token_has_its_role(role: str, kept: bool, living: bool) -> None:
    stage = stage_of()
    client, secret = come(stage, role="member")
    opened(client, role="owner")
    if not living:
        client.close()
    back, _ = come(stage, secret, role=role)
    assert role_of(back.session, "lobby") is (Role.OWNER if kept else Role.GUEST)
    assert "lobby" in back.session.rooms


def test_a_guest_who_comes_back_keeps_the_role_no_longer() -> None:
    stage = stage_of()
    guest = stage.new()
    secret = guest.connect("bob")["session"]
    opened(guest, sub="p7", name=None, role="owner", exp=START // 1000 + 60)
    for minute, role in ((0, Role.OWNER), (1, Role.GUEST)):
        stage.pass_time(minute * MINUTE)
        guest.close()
        guest = stage.new()
        secret = guest.connect(resume=secret)["session"]
        assert role_of(guest.session, "lobby") is role


# --- single use


def test_a_join_that_is_refused_uses_up_no_ticket() -> None:
    stage = stage_of()
    mod, guest = stage.join("mod", "bob")
    become(mod, Role.MODERATOR)
    assert act(mod, "kick", "bob") is None and act(mod, "lock") is None
    ticket = {"sub": "p7", "name": None, "jti": "j1", "once": True}
    assert opened(guest, **ticket).code == Code.FORBIDDEN
    assert len(stage.hub.once) == 0 and guest.session.grants is None
    assert act(mod, "unlock") is None
    assert opened(guest, **ticket)["members"] == 2 and len(stage.hub.once) == 1


def test_a_ticket_that_cannot_be_remembered_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of()
    guest = stage.new("bob")

    def fail(*arguments: object) -> bool:
        raise ProtocolError(Code.STORE_UNAVAILABLE, "the disk is full")

    ticket = {"sub": "p7", "name": None, "jti": "j1", "once": True}
    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "keep", fail)
        assert opened(guest, **ticket).code == Code.STORE_UNAVAILABLE
    assert guest.session.grants is None and not guest.session.entering and not stage.hub.rooms
    assert opened(guest, **ticket)["members"] == 1


def test_a_ticket_counts_again_for_the_session_that_could_not_join_with_it() -> None:
    stage = LaterStage()
    stage.hub.verifier = verifier()
    guest = stage.new()
    guest.post(Connect(1, name="bob"))
    ticket = token(sub="p7", name=None, jti="j1", once=True)
    guest.post(Join(2, "lobby", token=ticket))
    stage.engine.fail()
    stage.flush()
    assert [one.code for one in guest.take(Error)] == [Code.STORE_UNAVAILABLE]
    guest.post(Join(3, "lobby", token=ticket))
    stage.answer()
    assert not guest.take(Error) and "lobby" in guest.session.rooms
