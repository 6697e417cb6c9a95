"""docs/GAMES.md from its first command to its last line, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastchat.config import Policy
from fastchat.settings import load
from tests.test_documents import ADDRESS, PATIENCE, ROOT, read_until, running

DOCUMENT = (ROOT / "docs" / "GAMES.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The lines for the shell."""
    return [line for text in blocks("sh") for line in text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader sits."""
    folder = tmp_path_factory.mktemp("arena")
    (folder / "bin").mkdir()
    program = folder / "bin" / "fastchat"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastchat "$@"\n')
    program.chmod(0o755)
    (settings,) = blocks("toml")
    (folder / "fastchat.toml").write_text(settings, "utf-8")
    shell(folder, "fastchat keygen")
    return folder


def shell(folder: Path, lines: str, **more: str) -> str:
    """What these lines print."""
    path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
    return run(folder, "sh", "-e", "-c", lines, PATH=path, **more)


def run(folder: Path, *words: str, **more: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more
    done = subprocess.run(
        words, cwd=folder, env=environment, text=True, timeout=PATIENCE, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    assert "fastchat serve --config fastchat.toml" in commands()
    words = [sys.executable, "-m", "fastchat", "serve", "--config", "fastchat.toml", "--port", "0"]
    with running(*words, cwd=folder) as process:
        yield read_until(process, r"listens on 127\.0\.0\.1:\d+").split()[-1]


def test_the_settings_are_what_the_page_says(folder: Path) -> None:
    config = load(folder / "fastchat.toml")
    assert config.room("team:red").closed and config.room("party:7").members == 5
    world = config.room("world:1")
    assert (world.radius, world.coalesce_ms, world.policy) == (50.0, 50, Policy.DROP)


def test_keys_are_where_the_page_says(folder: Path) -> None:
    assert {"fastchat-token.key", "fastchat-token.pub"} <= {path.name for path in folder.iterdir()}


def test_the_program_prints_what_the_page_says(folder: Path, server: str) -> None:
    program = "\n\n".join(blocks("python"))
    assert program.count(ADDRESS) == 1
    (folder / "arena.py").write_text(program.replace(ADDRESS, server), "utf-8")
    assert run(folder, sys.executable, "-W", "error", "arena.py") in blocks("text")


def test_tokens_by_hand(folder: Path) -> None:
    by_hand = [line for line in commands() if line.startswith("fastchat token")]
    by_hand += re.findall(r"^`(fastchat token [^`]+)`", DOCUMENT, re.MULTILINE)
    assert len(by_hand) == 2
    for line in by_hand:
        assert shell(folder, line).count(".") == 2


def test_looking_on(folder: Path, server: str) -> None:
    (lines,) = [text for text in blocks("sh") if "--hidden" in text]
    shell(folder, lines, FASTCHAT_URL=f"tcp://{server}")
