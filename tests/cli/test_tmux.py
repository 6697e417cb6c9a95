"""Two people in two terminals: `fastchat chat` under tmux."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.test_process import PATIENCE, ROOT, call, environment, served

TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


class Terminals:
    """A tmux server of the test's own."""

    def __init__(self, socket: Path, url: str) -> None:
        self._socket = str(socket)
        self._env = environment(FASTCHAT_URL=url, TERM="xterm-256color")

    def tmux(self, *arguments: str) -> str:
        command = [str(TMUX), "-S", self._socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=self._env, cwd=ROOT)
        return done.stdout

    def open(self, name: str, *arguments: str) -> None:
        command = shlex.join([sys.executable, "-m", "fastchat", *arguments])
        self.tmux("new-session", "-d", "-s", name, "-x", "60", "-y", "20", f"{command}; echo exit $?; cat")

    def type(self, name: str, text: str, *keys: str) -> None:
        if text:
            self.tmux("send-keys", "-t", name, "-l", text)
        for key in keys:
            self.tmux("send-keys", "-t", name, key)

    def rows(self, name: str) -> list[str]:
        return [row for row in self.tmux("capture-pane", "-p", "-t", name).splitlines() if row]

    def until(self, name: str, found: Callable[[list[str]], bool]) -> list[str]:
        """Look until the rows satisfy `found`: a terminal has no other way to tell."""
        end = time.monotonic() + PATIENCE
        while True:
            rows = self.rows(name)
            if found(rows):
                return rows
            assert time.monotonic() < end, "\n".join(rows)
            time.sleep(0.02)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    with served() as (_, url):
        one = Terminals(tmp_path / "tmux", url)
        try:
            yield one
        finally:
            one.tmux("kill-server")


def shows(text: str) -> Callable[[list[str]], bool]:
    return lambda rows: any(text in row for row in rows)


def test_two_people_talk_and_nothing_is_garbled(terminals: Terminals) -> None:
    terminals.open("a", "chat", "lobby", "--name", "ada")
    terminals.until("a", lambda rows: rows[-1:] == ["ada>"])
    terminals.open("b", "chat", "lobby", "--name", "鲍勃")
    terminals.until("a", shows("-- came: 鲍勃"))
    terminals.type("b", "half typed 你好")
    terminals.until("b", lambda rows: rows[-1:] == ["鲍勃> half typed 你好"])
    for number in range(5):
        terminals.type("a", f"line {number}", "Enter")
    rows = terminals.until("b", shows("ada: line 4"))
    said = [row.split(" ", 1)[1] for row in rows if "ada: " in row]
    assert said == [f"#{number + 1} ada: line {number}" for number in range(5)]
    assert rows[-1] == "鲍勃> half typed 你好"
    terminals.type("b", "", "Left", "Left", "BSpace", "x", "Enter")
    terminals.until("a", shows("鲍勃: half typedx你好"))
    terminals.type("b", "x" * 200)
    rows = terminals.until("b", lambda rows: rows[-1].endswith("xxx"))
    assert sum("xxx" in row for row in rows) == 1, "what is typed takes one row"
    terminals.type("b", "", "C-u")
    terminals.type("a", "/quit", "Enter")
    terminals.until("a", shows("exit 0"))
    terminals.until("b", shows("-- left: ada"))
    terminals.type("b", "", "C-c")
    terminals.until("b", shows("exit 0"))


def test_escape_sequences_of_others_do_nothing(terminals: Terminals) -> None:
    terminals.open("a", "chat", "lobby", "--name", "ada")
    terminals.until("a", lambda rows: rows[-1:] == ["ada>"])
    evil = "\x1b[2J\x1b[H\x1b]0;owned\x07\x1b[31mevil\r\x9b2K\u202e end\x1b[?1049h"
    url = terminals._env["FASTCHAT_URL"]
    assert call(url, "send", "lobby", evil, "--name", "eve").returncode == 0
    rows = terminals.until("a", shows("eve: ␛[2J␛[H"))
    assert rows[0].startswith("-- 1 here: ada") and rows[-1] == "ada>"
    assert "owned" not in terminals.tmux("display-message", "-p", "-t", "a", "#{pane_title}")


def test_the_terminal_is_given_back(terminals: Terminals) -> None:
    terminals.open("a", "chat", "lobby", "--name", "ada")
    terminals.until("a", lambda rows: rows[-1:] == ["ada>"])
    terminals.type("a", "", "C-d")
    terminals.until("a", shows("exit 0"))
    terminals.type("a", "echoed", "Enter")  # cat repeats it, and the terminal echoes it again
    terminals.until("a", lambda rows: rows.count("echoed") == 2)


def test_ctrl_z_and_back(terminals: Terminals) -> None:
    terminals.tmux("new-session", "-d", "-s", "sh", "-x", "60", "-y", "20", "bash --norc --noprofile")
    command = shlex.join([sys.executable, "-m", "fastchat", "chat", "lobby", "--name", "ada"])
    terminals.type("sh", command, "Enter")
    terminals.until("sh", lambda rows: rows[-1:] == ["ada>"])
    terminals.type("sh", "half")
    terminals.until("sh", lambda rows: rows[-1:] == ["ada> half"])  # the signal flushes what nobody has read
    terminals.type("sh", "", "C-z")
    terminals.until("sh", shows("Stopped"))
    terminals.type("sh", "fg", "Enter")
    terminals.until("sh", lambda rows: rows[-1:] == ["ada> half"])
    terminals.type("sh", " typed", "Enter")
    rows = terminals.until("sh", shows("ada: half typed"))
    assert rows[-1] == "ada>"
    terminals.tmux("resize-window", "-t", "sh", "-x", "40", "-y", "20")
    terminals.type("sh", "y" * 100)
    rows = terminals.until("sh", lambda rows: rows[-1].endswith("yyy"))
    assert sum("yyy" in row for row in rows) == 1 and len(rows[-1]) <= 40
