"""The hook's runner: whatever a hook does, each message gets one verdict in time."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fastchat import hooks
from fastchat.config import Config, HookFailure
from fastchat.errors import Code, ConfigError, ProtocolError
from fastchat.hooks import UNJUDGED, Context, HookRunner, Reject, load_hook
from fastchat.hub.screening import Said, Verdict
from fastchat.identity.base import Role
from fastchat.protocol.codec import pack
from tests.conftest import Runner

SAID = Said("lobby", "ada", "t:ada", Role.MODERATOR, False, pack("hello"), 7)
PASSES = Verdict()
FAILS = Verdict(rejected=UNJUDGED)


def runner(call: Callable[[Context, Any], Awaitable[object]], **given: Any) -> HookRunner:
    given = {"hook_failure": HookFailure.REJECT, "hook_seconds": 5.0, **given}
    return HookRunner(call, Config(**given), lambda: 42)


async def judge(runner: HookRunner, said: Said = SAID) -> Verdict:
    """Ask for one verdict; it must come with the time, later and once."""
    told: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def done(verdict: Verdict, now: int) -> None:
        assert now == 42
        told.set_result(verdict)

    runner.submit(said, done)
    assert not told.done()
    return await told


def answers(answer: Any) -> Callable[[Context, Any], Awaitable[object]]:
    async def on_message(context: Context, message: Any) -> object:
        if isinstance(answer, BaseException) and not isinstance(answer, Reject):
            raise answer
        return answer

    return on_message


@pytest.mark.parametrize(
    "answer, verdict",
    [
        (None, PASSES),
        (True, PASSES),
        (False, Verdict(rejected="it may not be said here")),
        (Reject("no"), Verdict(rejected="no")),
        (Reject("x" * 999), Verdict(rejected="x" * 200)),
        ("other", Verdict(pack("other"))),
        ("", Verdict(pack(""))),
        (0, Verdict(pack(0))),
        ({"text": ["a", 1, b"x"]}, Verdict(pack({"text": ["a", 1, b"x"]}))),
        (object(), FAILS),
        ("x" * 20_000, FAILS),
        ([[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]], FAILS),
        ([0] * 5000, FAILS),
        ("\ud800", FAILS),
        (1 << 70, FAILS),
        (ValueError("hello"), FAILS),
        (SystemExit(1), FAILS),
        (TimeoutError(), FAILS),
        (asyncio.CancelledError(), FAILS),
        (RecursionError(), FAILS),
    ],
    ids=str,
)
def test_what_a_hook_answers(run: Runner, answer: Any, verdict: Verdict) -> None:
    async def scenario() -> None:
        judging = runner(answers(answer))
        assert await judge(judging) == verdict
        assert judging.failures == (verdict == FAILS)

    run(scenario())


def test_what_a_hook_is_told(run: Runner) -> None:
    told: list[tuple[Context, Any]] = []

    async def on_message(context: Context, message: Any) -> None:
        told.append((context, message))
        raise Reject("no")

    async def scenario() -> None:
        assert await judge(runner(on_message)) == Verdict(rejected="no")
        assert told == [(Context("lobby", "ada", "t:ada", "moderator", False, 7), "hello")]

    run(scenario())


def test_a_hook_without_end_has_its_time(run: Runner) -> None:
    async def forever(context: Context, message: Any) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        allowing = runner(forever, hook_seconds=0.01, hook_failure=HookFailure.ALLOW)
        assert await judge(allowing) == PASSES and allowing.failures == 1
        assert await judge(runner(forever, hook_seconds=0.01)) == FAILS

    run(scenario())


def test_a_hook_that_does_not_heed_its_cancellation_is_left_alone(run: Runner) -> None:
    free = asyncio.Event()

    async def stubborn(context: Context, message: Any) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    async def scenario() -> None:
        judging = runner(stubborn, hook_seconds=0.01)
        assert await judge(judging) == FAILS
        await judging.stop()
        free.set()
        await judging.stop()

    run(scenario())


def test_at_most_so_many_are_with_it(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "MAX_TASKS", 2)
    free = asyncio.Event()

    async def wait(context: Context, message: Any) -> None:
        await free.wait()

    async def scenario() -> None:
        judging = runner(wait)
        first = [asyncio.ensure_future(judge(judging)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError) as refused:
            judging.submit(SAID, lambda *_: None)
        assert refused.value.code is Code.OVERLOADED
        free.set()
        assert await asyncio.gather(*first) == [PASSES] * 2
        assert await judge(judging) == PASSES

    run(scenario())


def test_a_failure_is_logged_once_a_kind_without_what_was_said(
    run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(context: Context, message: Any) -> None:
        raise (ValueError if len(message) == 5 else KeyError)(message)

    async def scenario() -> None:
        judging = runner(fail)
        for data in ("hello", "hello", "secret", "secret"):
            await judge(judging, SAID._replace(data=pack(data)))

    with caplog.at_level(logging.ERROR):
        run(scenario())
    texts = [record.getMessage() for record in caplog.records]
    assert [re.findall("with (\\w+);", text)[0] for text in texts] == ["ValueError", "KeyError"]
    assert not any("hello" in text or "secret" in text for text in texts) and "fail" in texts[0]


def test_a_hook_is_loaded_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules_here.py").write_text("class Rules:\n    async def look(context, message): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    assert load_hook("rules_here:Rules.look").__name__ == "look"
    del sys.modules["rules_here"]


@pytest.mark.parametrize(
    "text, name, says",
    [
        ("", "broken_rules", "is not MODULE:FUNCTION"),
        ("", ":look", "is not MODULE:FUNCTION"),
        ("", "no_such_module_at_all:look", "ModuleNotFoundError"),
        ("", "broken_rules:look", "AttributeError"),
        ("1 / 0", "broken_rules:look", "ZeroDivisionError"),
        ("def look(:", "broken_rules:look", "SyntaxError"),
        ("raise SystemExit", "broken_rules:look", "SystemExit"),
        ("def look(context, message): ...", "broken_rules:look", "write async def"),
        ("look = 7", "broken_rules:look", "write async def"),
    ],
)
def test_a_hook_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str, says: str
) -> None:
    (tmp_path / "broken_rules.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with pytest.raises(ConfigError, match=says):
        load_hook(name)
    sys.modules.pop("broken_rules", None)
