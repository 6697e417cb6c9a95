"""What a client meets while the server has more to do than it can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastchat.admission import CALM_BEATS, Outlook
from fastchat.errors import Code
from fastchat.hub.refusing import TEXT, Refusal
from fastchat.protocol.codec import decode_push, pack
from fastchat.protocol.messages import Bye, Connect, Error, History, Join, Message, Ping, Publish, Result
from tests.hub.stage import Client, Stage, texts

BUSY = Outlook(True, 1000.0, 1100.0, 930.0, 900.0, 0.02, 0.05, 0.04)
FLOODED = Outlook(True, 1000.0, 1100.0, 2000.0, 1.0, 0.02, 0.05, 0.06)  # one in a second may pass


def judged(stage: Stage, outlook: Outlook) -> None:
    """Let the gates look at the load."""
    stage.hub.admission.on = True
    stage.hub.admission.judge(outlook, stage.now)


def reserve(client: Client) -> None:
    client.session.peer = replace(client.session.peer, reserved=True)


def published(client: Client, count: int, **given: Any) -> list[Any]:
    """Publish so many; the answers."""
    sent = [Publish(100 + place, "lobby", pack(place), **given) for place in range(count)]
    return [one for one in client.send(*sent) if isinstance(one, Result | Error)]


def test_surplus_messages_are_refused_and_the_rest_is_served() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    judged(stage, FLOODED._replace(rate=100.0))
    stage.now += 30  # three tokens
    answers = published(ada, 10)
    assert [one.id for one in answers] == list(range(100, 110))
    assert [type(one) for one in answers] == [Result] * 3 + [Error] * 7
    assert texts(bob.got) == [0, 1, 2]
    refused = answers[-1]
    assert (refused.code, refused.text, refused.retry_ms) == (Code.OVERLOADED, TEXT, 2000)
    assert not ada.session.closing
    admission = stage.hub.admission
    assert (admission.publishes, admission.refused_publishes) == (10, 7)


def test_what_was_refused_was_not_kept() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    judged(stage, FLOODED)
    published(ada, 5, key="k")
    body = ada.ask(History, "lobby")
    assert (body["offset"], body["messages"]) == (0, [])
    judged(stage, BUSY._replace(offered=100.0))
    (answer,) = published(ada, 1, key="k")  # the same again, as PROTOCOL says
    assert answer.body["offset"] == 1 and "duplicate" not in answer.body


def test_a_refusal_without_id_is_still_said() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    judged(stage, FLOODED)
    (error,) = ada.send(Publish(0, "lobby", pack("x")))
    assert (error.id, error.code) == (0, Code.OVERLOADED)


def test_only_messages_are_refused_of_who_is_there() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    judged(stage, FLOODED)
    assert ada.ask(Ping)
    assert ada.ask(Join, "other")["members"] == 1


def test_new_connections_are_refused_with_error_and_bye() -> None:
    stage = Stage()
    judged(stage, BUSY)
    client = stage.new()
    error, bye = client.send(Connect(7, name="ada"))
    assert isinstance(error, Error) and isinstance(bye, Bye)
    assert (error.id, error.code, error.retry_ms) == (7, Code.OVERLOADED, 2000)
    assert (bye.code, bye.reconnect, bye.after_ms) == (Code.OVERLOADED, True, 2000)
    assert not client.open and client.code == Code.OVERLOADED
    assert stage.hub.admission.refused_connections == 1
    assert stage.hub.users.get("ada") is None and not stage.hub.sessions


def test_the_messages_of_who_is_there_pass_while_only_connections_are_refused() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    judged(stage, BUSY)
    assert [type(one) for one in published(ada, 50)] == [Result] * 50


def test_once_the_load_is_gone_everybody_comes_in() -> None:
    stage = Stage()
    judged(stage, BUSY)
    judged(stage, BUSY._replace(offered=860.0))
    assert stage.new().connect("ada").code == Code.OVERLOADED
    judged(stage, BUSY._replace(offered=840.0))
    assert stage.new().connect("ada")["user"] == "ada"


def test_who_takes_over_from_a_living_session_brings_no_load() -> None:
    stage = Stage()
    first = stage.new()
    secret = first.connect("ada")["session"]
    judged(stage, BUSY)
    second = stage.new()
    assert second.connect(resume=secret)["user"] == "ada"
    assert first.code == Code.REPLACED
    third = stage.new()
    assert third.connect(resume="made up").code == Code.OVERLOADED


def test_the_reserved_are_never_refused() -> None:
    stage = Stage()
    judged(stage, FLOODED)
    admin = stage.new()
    reserve(admin)
    assert admin.connect("admin", rooms={"lobby": None})["user"] == "admin"
    assert [type(one) for one in published(admin, 100)] == [Result] * 100
    assert stage.hub.admission.refused_publishes == 0
    assert stage.hub.admission.publishes == 100  # it is load, whoever brings it


def test_draining_is_said_rather_than_overload() -> None:
    stage = Stage()
    client = stage.new()
    judged(stage, BUSY)
    stage.hub.draining = True
    (bye,) = client.send(Connect(1, name="ada"))
    assert bye.code == Code.DRAINING


def test_a_hub_without_admission_counts_and_refuses_nobody() -> None:
    stage = Stage()
    (ada,) = stage.join("ada")
    for _ in range(CALM_BEATS):
        stage.hub.admission.judge(FLOODED, stage.now)
    assert [type(one) for one in published(ada, 20)] == [Result] * 20
    assert (stage.hub.admission.publishes, stage.hub.opened) == (20, 1)
    assert not [one for one in ada.got if isinstance(one, Message) and one.offset > 20]


@pytest.mark.parametrize("id", [0, 1, 127, 128, 65_535, 65_536, 2**32 - 1])
@pytest.mark.parametrize("retry_ms", [1000, 1001, 30_000])
def test_the_prepared_error_reads_like_any_other(id: int, retry_ms: int) -> None:
    refusal = Refusal()
    refusal.encode(5, 1000)
    assert decode_push(refusal.encode(id, retry_ms)) == Error(id, Code.OVERLOADED, TEXT, retry_ms, None)
