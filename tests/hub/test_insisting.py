"""What counts before it is kept, on an engine that fails later: it is put again until it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.errors import Code, ProtocolError
from fastchat.hub import insisting
from fastchat.protocol.messages import Connect, Error, Result
from tests.hub.stage import Client, Stage
from tests.hub.test_later import LaterStage
from tests.identity.making import token, verifier


def stage_of() -> LaterStage:
    stage = LaterStage()
    stage.hub.verifier = verifier()
    return stage


def come(stage: LaterStage, **given: Any) -> Client:
    client: Client = stage.new()
    client.post(Connect(1, token=token(now=stage.now, **given)))
    return client


def again(stage: LaterStage) -> Stage:
    """Another server with what the one before kept."""
    started = Stage(stage.config, engine=stage.engine.inner, verifier=verifier())
    started.now = stage.now
    return started


def kinds(stage: LaterStage) -> list[str]:
    return sorted(fact.kind for fact in stage.engine.inner.facts())


def test_what_failed_is_kept_later() -> None:
    stage = stage_of()
    client = come(stage, jti="j1", once=True)
    stage.fail()
    assert client.take(Result) and kinds(stage) == []
    for _ in range(2):
        stage.pass_time(1000)
        stage.fail()
    assert len(stage.hub.once) == 1 and kinds(stage) == []
    stage.pass_time(1000)
    stage.answer()
    stage.pass_time(5000)
    assert kinds(stage) == ["jti", "name"] and not stage.engine.waiting and not stage.faults
    other = again(stage)
    assert "single use" in other.new().connect(token=token(jti="j1", once=True)).text
    assert other.new().connect("Ada").code == Code.NAME_TAKEN


def test_no_other_ticket_counts_until_then() -> None:
    stage = stage_of()
    come(stage, jti="j1", once=True)
    stage.fail()
    second = come(stage, jti="j2", once=True)
    stage.flush()
    (refusal,) = second.take(Error)
    assert refusal.code == Code.STORE_UNAVAILABLE and refusal.retry_ms
    stage.pass_time(1000)
    stage.answer()
    second.post(Connect(2, token=token(now=stage.now, jti="j2", once=True)))
    stage.answer()
    assert second.take(Result)


def test_what_has_ended_meanwhile_is_not_kept() -> None:
    stage = stage_of()
    client = come(stage, jti="j1", once=True)
    stage.fail()
    client.close()
    stage.now += 700_000
    stage.hub.tick(stage.now)
    stage.answer()
    stage.pass_time(2000)
    stage.answer()
    assert len(stage.hub.once) == 0 and "jti" not in kinds(stage)


def test_a_store_that_refuses_at_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of()
    come(stage)
    stage.fail()
    asked: list[int] = []

    def full(*arguments: object) -> bool:
        asked.append(stage.now)
        raise ProtocolError(Code.OVERLOADED, "too much waits", retry_ms=100)

    with monkeypatch.context() as patch:
        patch.setattr(stage.engine, "keep", full)
        stage.pass_time(2500)
    assert [at - asked[0] for at in asked] == [0, insisting.AGAIN_MS, 2 * insisting.AGAIN_MS]
    stage.pass_time(1000)
    stage.answer()
    assert kinds(stage) == ["name"]
