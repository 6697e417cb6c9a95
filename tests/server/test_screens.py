"""Words and hooks in a whole server: what members see, what a failing hook does, reading words again."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config, HookFailure, RoomOptions
from fastchat.errors import ConfigError
from fastchat.screens import MAX_BYTES, read_filters
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import ERROR, HISTORY, MESSAGE, PUBLISH, RESULT, WIRES, dial, serving

EDIT = 9
HOOK = """
import asyncio
from fastchat.hooks import Reject

async def on_message(context, message):
    if message == "slow":
        for _ in range(20):
            await asyncio.sleep(0)
    if message == "never":
        await asyncio.Event().wait()
    if message == "fault":
        raise ValueError(message)
    if message == "no":
        raise Reject("not here")
    if message == "who":
        return [context.room, context.user, context.role, context.edit]
"""


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with the hook above, in the working directory."""
    (tmp_path / "hook_here.py").write_text(HOOK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("hook_here", None)
    return "hook_here:on_message"


async def ask(peer: Any, *message: Any) -> Any:
    """Send a command with id 9; returns the body of the RESULT, or the code and text of the ERROR."""
    peer.send(message[0], 9, *message[1:])
    while True:
        answer = await peer.receive()
        if answer[0] in (RESULT, ERROR) and answer[1] == 9:
            return answer[2] if answer[0] == RESULT else tuple(answer[2:4])


@pytest.mark.parametrize("wire", WIRES)
def test_words_in_a_room(run: Runner, parts: Parts, tmp_path: Path, wire: str) -> None:
    words = tmp_path / "words"
    words.write_text("\ufeff# comment\r\nbad\r\nreplace: damn\r\n", encoding="utf-8")
    rooms = {"default": RoomOptions(filter=str(words)), "free": RoomOptions()}

    async def scenario() -> None:
        async with (
            serving(rooms=rooms) as server,
            dial(server, wire, "ada") as ada,
            dial(server, "tcp", "bob") as bob,
        ):
            for peer in (ada, bob):
                await peer.join("lobby")
                await peer.join("free:1")
            assert (await ask(ada, PUBLISH, "lobby", "B.А.D!"))[0] == 203
            assert (await ask(ada, PUBLISH, "lobby", {"type": "image", "text": "dämn it"}))["offset"] == 1
            assert (await bob.until(MESSAGE))[5] == {"type": "image", "text": "**** it"}
            assert (await ask(ada, EDIT, "lobby", 1, "bad"))[0] == 203
            assert (await ask(ada, PUBLISH, "free:1", "bad"))["offset"] == 1
            assert (await bob.until(MESSAGE))[5] == "bad"
            assert (await ask(bob, HISTORY, "lobby"))["messages"][0][3]["text"] == "**** it"

    run(scenario())


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_a_hook_in_a_room(run: Runner, parts: Parts, hook: str, tmp_path: Path, engine: str) -> None:
    async def scenario() -> None:
        chosen = {"engine": engine, "data": str(tmp_path / "data")}
        async with serving(hook=hook, **chosen) as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            for number, text in enumerate(("slow", "who", "no", "slow", "last")):
                ada.send(PUBLISH, 20 + number, "lobby", text)
            heard, refused = [], []
            while len(heard) < 4:
                answer = await ada.receive()
                if answer[0] == MESSAGE:
                    heard.append(answer[5])
                elif answer[0] == ERROR:
                    refused.append(answer[1:4])
            assert heard == ["slow", ["lobby", "ada", "guest", False], "slow", "last"]
            assert refused == [[22, 203, "not here"]]
            assert (await ask(ada, EDIT, "lobby", 1, "who"))["offset"] == 5
            history = (await ask(ada, HISTORY, "lobby"))["messages"]
            assert history[0][3] == ["lobby", "ada", "guest", True]

    run(scenario())


@pytest.mark.parametrize("failure", HookFailure)
@pytest.mark.parametrize("text", ["never", "fault"])
def test_a_hook_that_fails(
    run: Runner, hook: str, caplog: pytest.LogCaptureFixture, failure: HookFailure, text: str
) -> None:
    async def scenario() -> None:
        chosen = {"hook": hook, "hook_seconds": 0.05, "hook_failure": failure}
        async with serving(**chosen) as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            for _ in range(2):
                answer = await ask(ada, PUBLISH, "lobby", text)
                assert (answer[0] == 203) if failure is HookFailure.REJECT else answer["offset"]
            assert "offset" in await ask(ada, PUBLISH, "lobby", "well")

    with caplog.at_level(logging.ERROR, "fastchat.hooks"):
        run(scenario())
    said = [record.getMessage() for record in caplog.records if record.name == "fastchat.hooks"]
    assert len(said) == 1 and "the hook failed with" in said[0]
    caplog.clear()


def test_a_server_stops_while_the_hook_has_messages(run: Runner, hook: str) -> None:
    async def scenario() -> None:
        async with serving(hook=hook, hook_seconds=60.0) as server, dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            for _ in range(3):
                ada.send(PUBLISH, 9, "lobby", "never")
            ada.send(PUBLISH, 9, "hall", "x")
            assert (await ada.until(ERROR))[2] == 304

    run(scenario())


def test_sighup_reads_the_words_again(run: Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = tmp_path / "words"
    words.write_text("bad")
    config = Config(port=0, rooms={"default": RoomOptions(filter=str(words))}, rate_limits=False)

    async def until(peer: Any, text: str, passes: bool) -> None:
        while isinstance(await ask(peer, PUBLISH, "lobby", text), dict) is not passes:
            pass

    async def scenario() -> None:
        server = Server(config)
        ready = asyncio.Event()
        running = asyncio.ensure_future(server.run(ready.set))
        await ready.wait()
        async with dial(server, "tcp", "ada") as ada:
            await ada.join("lobby")
            await until(ada, "bad", False)
            words.write_text("good")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(ada, "good", False)
            await until(ada, "bad", True)
            words.write_text("re: (")
            os.kill(os.getpid(), signal.SIGHUP)
            while not caplog.records:
                await ask(ada, PUBLISH, "lobby", "x")
            await until(ada, "good", False)
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    with caplog.at_level(logging.ERROR, "fastchat.screens"):
        run(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        f"the words stay as they were: {words}, line 1: missing ): ("
    ]
    caplog.clear()


def test_words_that_cannot_be_read(run: Runner, tmp_path: Path) -> None:
    def start(content: bytes | None) -> str:
        path = tmp_path / "words"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)

        async def scenario() -> str:
            server = Server(Config(port=0, rooms={"game": RoomOptions(filter=str(path))}))
            with pytest.raises(ConfigError) as refused:
                await server.start()
            return str(refused.value).removeprefix(str(path))

        return run(scenario())

    assert start(None) == ": No such file or directory"
    assert start(b"good\n\xff") == ": not UTF-8 (byte 5)"
    assert start(b"good\nb*d").startswith(", line 2: an asterisk stands at the beginning or at the end;")
    assert start(b"#" * (MAX_BYTES + 1)) == f": longer than {MAX_BYTES:,} bytes"
    assert read_filters(Config()) == {}


def test_a_hook_that_cannot_be_had_keeps_the_server_from_starting(run: Runner) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match="no_such_module"):
            await Server(Config(port=0, hook="no_such_module_here:f")).start()

    run(scenario())


def test_the_example_of_the_manual(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manual = (Path(__file__).parents[2] / "docs/MODERATION.md").read_text(encoding="utf-8")
    hook, words = (re.findall(rf"```{kind}\n(.*?)```", manual, re.DOTALL)[0] for kind in ("py", "text"))
    (tmp_path / "manual_hook.py").write_text(hook)
    (tmp_path / "words").write_text(words)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    async def scenario() -> None:
        chosen = {"hook": "manual_hook:on_message", "rooms": {"default": RoomOptions(filter="words")}}
        async with serving(**chosen) as server, dial(server, name="ada") as ada:
            await ada.join("lobby")
            assert await ask(ada, PUBLISH, "lobby", "http://x") == (203, "guests do not post links")
            assert (await ask(ada, PUBLISH, "lobby", "very  b4d"))[0] == 203
            ada.send(PUBLISH, 0, "lobby", "/shrug")
            assert (await ada.until(MESSAGE))[5] == "¯\\_(ツ)_/¯"
            assert (await ask(ada, PUBLISH, "lobby", "call 1234-5678"))[0] == 203

    run(scenario())
    del sys.modules["manual_hook"]
