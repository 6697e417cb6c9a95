"""README and docs: every command line is one that exists, every example runs against a real server."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from fastchat.cli import main
from tools import readme

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATIENCE = 20.0 * float(os.environ.get("FASTCHAT_TEST_PATIENCE", "1"))  # seconds for a process to say a line
ADDRESS = "127.0.0.1:9999"  # as the documents have it


def blocks(language: str) -> list[tuple[str, str]]:
    """List the fenced blocks of that language, each with an id."""
    found = []
    for path in DOCUMENTS:
        texts = re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        found += [(f"{path.stem}-{number}", text) for number, text in enumerate(texts, 1)]
    return found


def examples() -> list[tuple[str, str]]:
    """The Python examples that stand alone; those of GAMES.md are parts of one (test_games.py)."""
    return [(name, text) for name, text in blocks("python") if not name.startswith("GAMES-")]


def command_lines() -> list[str]:
    """List what the documents call fastchat with, in blocks and in running text."""
    shell = [line for _, text in blocks("sh") for line in text.splitlines()]
    running = [
        inline
        for path in DOCUMENTS
        for inline in re.findall(r"(?<!`)`((?:\.venv/bin/)?fastchat [^`\n]+)`", path.read_text("utf-8"))
    ]
    calls = [re.search(r"(?:^|\| )(?:\.venv/bin/)?fastchat ([a-z].*)", line) for line in shell + running]
    return sorted({call[1] for call in calls if call})


def test_there_are_command_lines_to_check() -> None:
    assert len(command_lines()) > 10


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    if ">" in words:
        words = words[: words.index(">")]
    if words == ["COMMAND", "--help"]:
        return
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, f"there is no command {words[0]}"
    if "--help" not in words:
        command.make_context(words[0], words[1:])


def test_a_command_line_that_is_wrong_is_found() -> None:
    assert main.get_command(click.Context(main), "srve") is None
    chat = main.get_command(click.Context(main), "chat")
    assert chat is not None
    with pytest.raises(click.NoSuchOption):
        chat.make_context("chat", ["lobby", "--nmae", "ada"])


@contextmanager
def running(*command: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it whatever happens."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "FASTCHAT_ENGINE": "memory"}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read its output until a line matches; return the line."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    read = ""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], 0.5)[0]:
            continue
        chunk = os.read(process.stdout.fileno(), 65536).decode()
        read += chunk
        for line in read.splitlines():
            if re.search(wanted, line):
                return line
        if not chunk:
            break
    pytest.fail(f"no line with {wanted!r} in:\n{read}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running(sys.executable, "-m", "fastchat", "serve", "--port", "0") as process:
        line = read_until(process, r"listens on 127\.0\.0\.1:\d+")
        yield line.split()[-1]


# What each example prints in the end.
PYTHON = {
    "README-1": "carol: hello from a program",
    "README-2": "eve: hello over WebSocket",
    "CLIENTS-1": r"Message.*'move': 'e4'",
    "CLIENTS-2": "grace hello from a script",
}


def test_every_python_example_is_known() -> None:
    assert [name for name, _ in examples()] == list(PYTHON)


@pytest.mark.parametrize("name, text", examples(), ids=[name for name, _ in examples()])
def test_the_python_examples_run(name: str, text: str, server: str) -> None:
    assert ADDRESS in text
    with running(sys.executable, "-W", "error", "-c", text.replace(ADDRESS, server)) as process:
        read_until(process, PYTHON[name])


@pytest.mark.parametrize("name, text", blocks("js"), ids=[name for name, _ in blocks("js")])
def test_the_javascript_examples_run(name: str, text: str, server: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here")
    options = [node, "--experimental-websocket"]
    if subprocess.run([*options, "--eval", "WebSocket"], capture_output=True).returncode:
        pytest.skip("this node has no WebSocket")
    assert ADDRESS in text
    with running(*options, "--eval", text.replace(ADDRESS, server)) as process:
        read_until(process, "dora: hello from JavaScript")


def test_the_figures_of_the_readme_are_those_that_were_measured() -> None:
    assert readme.main(["--check"]) == 0, "python -m tools.readme brings them up to date"


def test_a_figure_that_nobody_measured_is_found() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    result = json.loads(readme.RESULT.read_text()) if readme.RESULT.exists() else None
    invented = text.replace(readme.BEGIN, readme.BEGIN + "\n| 1 | 2 | 3 | 4 |")
    assert invented != text == readme.rendered(invented, result)
