"""Facts: seen once they are kept, bounded per kind, in order."""

from __future__ import annotations

import pytest

from fastchat.config import Config
from fastchat.engine.base import Fact, Record
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code, ProtocolError
from fastchat.hub import facts as module
from fastchat.hub.facts import Facts
from tests.engine.later import LaterEngine
from tests.hub.stage import Stage

MARK = Fact("mark", "lobby", "t:ada", b"\x07")


def later() -> tuple[Stage, LaterEngine]:
    engine = LaterEngine(Config())
    return Stage(engine=engine), engine


def test_what_is_put_is_there_and_found_again() -> None:
    engine = MemoryEngine(Config(), "epoch")
    facts = Facts(engine)
    told: list[object] = []
    facts.put([MARK], [Record(1, "lobby", "ada", "mark", "", b"\x80")], told.append)
    assert told == [None] and len(engine.records) == 1
    assert facts.get(*MARK[:3]) == Facts(engine).get(*MARK[:3]) == b"\x07"
    facts.put([MARK._replace(value=b"")])
    assert facts.get(*MARK[:3]) is None and not Facts(engine).of("mark")


def test_an_engine_that_answers_later() -> None:
    stage, engine = later()
    facts, told = stage.hub.facts, []
    facts.put([MARK], (), lambda refusal: told.append(("first", refusal)))
    facts.put([MARK._replace(value=b"\x08")], (), lambda refusal: told.append(("second", refusal)))
    assert facts.get(*MARK[:3]) is None and not told
    engine.answer(1)
    assert facts.get(*MARK[:3]) == b"\x07"
    engine.answer()
    assert facts.get(*MARK[:3]) == b"\x08"
    assert told == [("first", None), ("second", None)]


def test_what_is_not_kept_is_not_seen() -> None:
    stage, engine = later()
    told: list[ProtocolError | None] = []
    stage.hub.facts.put([MARK], (), told.append)
    engine.fail()
    assert [one.code for one in told if one] == [Code.STORE_UNAVAILABLE]
    assert stage.hub.facts.get(*MARK[:3]) is None


def test_a_fault_of_what_comes_after_is_reported() -> None:
    stage, engine = later()

    def then(refusal: ProtocolError | None) -> None:
        raise ValueError

    stage.hub.facts.put([MARK], (), then)
    stage.hub.facts.put([MARK], (), then)
    engine.answer(1)
    engine.fail()
    assert [what for what, _ in stage.faults] == ["what was kept"] * 2


def test_what_is_forgotten_makes_room_for_what_comes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", {**module.MOST, "mark": 2})
    facts = Facts(MemoryEngine(Config(), "epoch"))
    first, second, third, fourth = (MARK._replace(subject=f"t:{number}") for number in range(4))
    facts.put([first, second])
    facts.put([first._replace(value=b""), third])
    assert {subject for _, subject in facts.of("mark")} == {"t:1", "t:2"}
    with pytest.raises(ProtocolError):
        facts.put([first._replace(value=b""), fourth])


def test_the_limit_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", {**module.MOST, "mark": 2})
    stage, engine = later()
    facts = stage.hub.facts
    facts.put([MARK])
    facts.put([MARK._replace(subject="t:bob")])
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            facts.put([MARK._replace(subject="t:carol")])
        assert caught.value.code is Code.OVERLOADED
        engine.answer()
    facts.put([MARK._replace(value=b"\x08")])
    facts.put([MARK._replace(value=b"")])
    engine.answer()
    facts.put([MARK._replace(subject="t:carol")])
    engine.fail()
    facts.put([MARK._replace(subject="t:dave")])
    engine.answer()
    assert {subject for _, subject in facts.of("mark")} == {"t:bob", "t:dave"}
