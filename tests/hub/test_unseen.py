"""A new secret that was lost with the line: the one before it counts until the client has been heard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastchat.errors import Code
from fastchat.hub.limits import RESUME_MS
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Bye, Connect, Join, Ping, Pong, Publish
from tests.hub.stage import Client, Stage, texts
from tests.hub.test_later import LaterStage


def begin(stage: Stage, living: bool, name: str | None = "ada") -> str:
    """Connect somebody who blocks bob and whose line dies, noticed or not; returns the secret."""
    client = stage.new()
    secret: str = client.connect(name)["session"]
    client.send(Block(2, "bob", True))
    if not living:
        client.close()
    return secret


def come(stage: Stage, secret: str, name: str | None = "ada") -> Client:
    """Come back with a secret; whether the result arrives is for the caller to say."""
    client: Client = stage.new()
    body = client.connect(name, resume=secret, rooms={"lobby": None})
    assert name is None or body["user"] == name
    return client


@pytest.mark.parametrize("living", [True, False])
@pytest.mark.parametrize("name", ["ada", None])
def test_the_old_secret_takes_over_whose_new_one_was_lost(living: bool, name: str | None) -> None:
    stage = Stage()
    secret = begin(stage, living, name)
    lines = [come(stage, secret, name) for _ in range(4)]  # each result is lost with its line
    assert [line.code for line in lines] == [Code.REPLACED] * 3 + [0]
    assert len({line.session.user.name for line in lines}) == 1
    (bob,) = stage.join("bob")
    bob.send(Publish(1, "lobby", pack("hi")))
    assert bob.ask(Join, "lobby")["members"] == 2, "who was taken over is in no room"
    assert texts(lines[-1].got) == [], "what was blocked stays blocked"
    assert len(stage.hub.users) == 2 and not stage.faults


@pytest.mark.parametrize("living", [True, False])
def test_the_new_secret_counts_as_well_and_then_the_old_one_no_more(living: bool) -> None:
    stage = Stage()
    secret = begin(stage, living)
    unseen = stage.new()
    second = unseen.connect("ada", resume=secret)["session"]
    seen = come(stage, second)
    assert unseen.code == Code.REPLACED
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert come(stage, second).ask(Ping) and seen.code == Code.REPLACED, "nor was that result seen"


@pytest.mark.parametrize("living", [True, False])
@pytest.mark.parametrize("sign", [Ping(7), Pong(0), Join(7, "lobby"), b"\xc1"])
def test_what_the_client_sends_after_the_result_ends_it(living: bool, sign: Ping | bytes) -> None:
    stage = Stage()
    secret = begin(stage, living)
    client = come(stage, secret)
    client.send(sign)
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert stage.new().connect(resume=secret)["user"].startswith("guest-")
    assert client.open and client.session.former == b""


@pytest.mark.parametrize("living", [True, False])
def test_after_its_end_the_old_secret_takes_nobody_over(living: bool) -> None:
    stage = Stage()
    secret = begin(stage, living)
    come(stage, secret).close()
    other = stage.new("ada")
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert other.open and other.session.user.blocks == frozenset()


@pytest.mark.parametrize("living", [True, False])
@pytest.mark.parametrize("first", [0, 1])
def test_a_session_that_ended_unseen_is_remembered_once_under_both(living: bool, first: int) -> None:
    stage = Stage()
    client = stage.new()
    secrets = [begin(stage, living)]
    secrets.append(client.connect("ada", resume=secrets[0])["session"])
    client.close()
    assert len(stage.hub.resumes) == 2
    back = come(stage, secrets[first])
    assert back.session.user.blocks == {"bob"} and len(stage.hub.resumes) == 0
    again = come(stage, secrets[first])  # this result was lost, too
    assert back.code == Code.REPLACED
    assert stage.new().connect("ada", resume=secrets[not first]).code == Code.NAME_TAKEN
    assert again.open


def test_a_session_that_ended_seen_is_remembered_under_the_new_secret_only() -> None:
    stage = Stage()
    secret = begin(stage, True)
    client = come(stage, secret)
    client.ask(Ping)
    client.close()
    assert len(stage.hub.resumes) == 1
    assert stage.new().connect(resume=secret)["user"] != "ada"


def test_nothing_is_kept_once_all_have_gone() -> None:
    stage = Stage()
    for living in (True, False):
        come(stage, begin(stage, living)).close()
    stage.pass_time(RESUME_MS + 1000)
    assert len(stage.hub.resumes) == 0 and not stage.hub.resumes._living


def test_an_old_secret_does_not_take_over_another_name() -> None:
    stage = Stage()
    secret = begin(stage, True)
    client, bob = come(stage, secret), stage.new("bob")
    assert stage.new().connect("bob", resume=secret).code == Code.NAME_TAKEN
    assert come(stage, secret, "carol").open, "it was ignored"
    assert client.open and bob.open
    assert stage.new().connect("carol", resume=secret).code == Code.NAME_TAKEN, "and is no secret of hers"
    assert come(stage, secret).session.user.blocks == {"bob"}, "ada's it still is"


@pytest.mark.parametrize("secret", ["", "x", "0" * 32])
def test_what_was_no_secret_becomes_none(secret: str) -> None:
    """Else who sends always the same would hand their session to whoever does likewise."""
    stage = Stage()
    client = come(stage, secret)
    assert stage.new().connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert client.open and client.session.former == b""


def test_a_refused_connect_leaves_the_secret_as_it_was() -> None:
    stage = Stage()
    secret = begin(stage, False)
    stage.new("bob")
    client = stage.new()
    assert client.connect("bob", resume=secret).code == Code.NAME_TAKEN
    assert client.session.former == b""
    assert come(stage, secret).session.user.blocks == {"bob"}


def test_a_connect_that_comes_late_on_an_older_line_cuts_nobody_off() -> None:
    stage = Stage()
    secret = begin(stage, True)
    lines = [stage.new() for _ in range(3)]
    for second, line in enumerate(lines):
        line.session.peer = replace(line.session.peer, accepted=float(second))
    assert lines[1].connect("ada", resume=secret)["user"] == "ada"
    assert lines[0].connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert lines[0].connect(resume=secret)["user"] != "ada"
    assert lines[1].open
    assert lines[2].connect("ada", resume=secret)["user"] == "ada"
    assert lines[1].code == Code.REPLACED


def test_who_is_still_waiting_for_the_engine_can_be_taken_over() -> None:
    stage = LaterStage()
    secret = begin(stage, True)
    first, second = stage.new(), stage.new()
    first.post(Connect(1, name="ada", resume=secret, rooms={"lobby": None}))
    second.post(Connect(1, name="ada", resume=secret, rooms={"lobby": None}))
    stage.answer()
    assert [type(one) for one in first.got] == [Bye] and first.code == Code.REPLACED
    assert second.got[0].body["rooms"]["lobby"]["members"] == 1
    assert second.session.connected and not stage.faults


def test_neither_secret_is_kept() -> None:
    stage = Stage()
    first = begin(stage, True)
    client = stage.new()
    second = client.connect("ada", resume=first)["session"]
    session, resumes = client.session, stage.hub.resumes
    kept = repr([resumes._living, resumes._ended, session.secret, session.former])
    client.close()
    kept += repr(resumes._ended)
    assert session.former and first not in kept and second not in kept
