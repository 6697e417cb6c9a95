"""The house fixtures catch what they are there to catch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.twins import twins


async def forever() -> None:
    await asyncio.Event().wait()


def test_the_result_comes_back_on_the_named_loop(run: Runner) -> None:
    async def module() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run.loop_name.startswith(run(module())[:6])


def test_an_exception_comes_through(run: Runner) -> None:
    async def wrong() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(wrong())


def test_a_coroutine_that_never_ends_times_out(run: Runner) -> None:
    with pytest.raises(TimeoutError):
        run(forever(), timeout=0.01)


def test_a_task_left_running_is_a_failure(run: Runner) -> None:
    async def leak() -> None:
        leak.task = asyncio.create_task(forever())  # type: ignore[attr-defined]

    with pytest.raises(pytest.fail.Exception, match="tasks left running"):
        run(leak())


def test_an_exception_in_a_callback_is_a_failure(run: Runner) -> None:
    async def callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)

    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        run(callback())


def test_both_twins_are_listed_in_order() -> None:
    modules = twins("json.decoder", "json.scanner")
    assert [module.id for module in modules] == ["cython", "pure"]


def test_a_missing_twin_is_skipped_unless_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTCHAT_REQUIRE_EXT", raising=False)
    (compiled, pure) = twins("fastchat._no_such_module", "json.scanner")
    assert [mark.name for mark in compiled.marks] == ["skip"] and not pure.marks
    monkeypatch.setenv("FASTCHAT_REQUIRE_EXT", "1")
    with pytest.raises(ModuleNotFoundError):
        twins("fastchat._no_such_module", "json.scanner")


def test_a_twin_that_breaks_while_importing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTCHAT_REQUIRE_EXT", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fastchat_broken_twin.py").write_text("import fastchat_is_not_there\n")
    with pytest.raises(ModuleNotFoundError):
        twins("fastchat_broken_twin", "json.scanner")
