"""Two users and a moderator in their terminals, with tokens, as the README has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_process import call, served
from tests.cli.test_tmux import TMUX, Terminals, shows

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    key = tmp_path / "key"
    assert call("", "keygen", "--out", str(key)).returncode == 0
    for name, role in (("ada", "member"), ("bob", "member"), ("eve", "moderator")):
        made = call("", "token", "--key", f"{key}.key", "--sub", name, "--role", role)
        (tmp_path / name).write_text(made.stdout)
    tokens = ("--token-algorithm", "EdDSA", "--token-key", f"{key}.pub")
    with served(*tokens) as (_, url):
        one = Terminals(tmp_path / "tmux", url)
        try:
            yield one
        finally:
            one.tmux("kill-server")


def test_a_moderator_in_the_terminal(terminals: Terminals, tmp_path: Path) -> None:
    for name in ("ada", "bob", "eve"):
        terminals.open(name, "chat", "lobby", "--token-file", str(tmp_path / name))
        terminals.until(name, lambda rows, name=name: rows[-1:] == [f"{name}>"])  # type: ignore[misc]
    terminals.type("ada", "helo", "Enter")
    terminals.until("ada", shows("#1 ada: helo"))
    terminals.type("ada", "/edit hello", "Enter")
    terminals.until("bob", shows("#1 ada: hello (edited)"))
    terminals.type("bob", "/reply buy my things", "Enter")
    terminals.until("ada", shows("#3 bob: (re #1 ada) buy my things"))
    terminals.type("bob", "/delete #1", "Enter")
    terminals.until("bob", shows("not done"))
    terminals.type("eve", "/delete #3", "Enter")
    terminals.until("ada", shows("-- eve deleted #3, bob's"))
    terminals.type("eve", "/mute bob 5m spam", "Enter")
    terminals.until("ada", shows("-- bob was muted for 5 minutes by eve: spam"))
    terminals.type("bob", "more", "Enter")
    terminals.until("bob", shows("refused: muted for 5 minutes"))
    terminals.type("eve", "/ban bob 2h", "Enter")
    terminals.until("bob", shows("fastchat: you were banned by eve (204)"))
    terminals.until("bob", shows("exit 4"))
    terminals.until("ada", shows("-- bob was banned for 2 hours by eve"))
    url = terminals._env["FASTCHAT_URL"]
    again = call(url, "send", "lobby", "let me in", "--token-file", str(tmp_path / "bob"))
    assert again.returncode == 4 and "banned" in again.stderr
    tail = call(url, "tail", "lobby", "--history", "9", "--count", "2", "--token-file", str(tmp_path / "ada"))
    assert [line.split(" ", 1)[1] for line in tail.stdout.splitlines()] == [
        "ada: hello (edited)",
        "bob: (re #1) (deleted)",
    ]
