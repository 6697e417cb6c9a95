"""Targets: what is built in, and what a file may say of peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastchat.bench.failure import BenchError
from fastchat.bench.targets import BUILT_IN, Needs, Target, choose, present, read_peers

FULL = """
[tiny]
command = ["{python}", "tiny.py", "--port", "{port}", "--data", "{folder}"]
dialect = "ws-relay"
wire = "ws"
language = "Python"
coalescing = false
needs = { executable = "sh" }
settings = { TINY = "1" }
version = ["{python}", "-V"]
note = "made up"
get = "write it"

[other]
command = ["other", "{port}"]
dialect = "nats"
needs = { executable = "no-such-program" }
"""


def peers(folder: Path, text: str) -> tuple[Target, ...]:
    path = folder / "peers.toml"
    path.write_text(text)
    return read_peers(path)


def test_a_file_of_peers_is_read(tmp_path: Path) -> None:
    tiny, other = peers(tmp_path, FULL)
    assert (tiny.name, tiny.wire, tiny.coalescing, tiny.folder) == ("tiny", "ws", False, tmp_path)
    values = {"port": "7", "folder": "/x", "python": "py"}
    assert tiny.words(values) == ["py", "tiny.py", "--port", "7", "--data", "/x"]
    assert tiny.facts()["note"] == "made up"
    assert (other.wire, other.coalescing, other.language) == ("tcp", True, "Python")
    assert present([tiny, other]) == ([tiny], {"other": "no-such-program is not on the PATH (make peers)"})


MISTAKES = {
    "no TOML": ("[", "not TOML"),
    "no table": ("tiny = 1", r"\[tiny\]: a peer is a table"),
    "the name of ours": ('[fastchat]\ncommand = ["x", "{port}"]\ndialect = "d"', "none of those built in"),
    "a name with spaces": ('["a b"]\ncommand = ["x", "{port}"]\ndialect = "d"', "a-z"),
    "an unknown key": (FULL.replace("note", "notes"), "unknown notes; there are"),
    "no dialect": ('[tiny]\ncommand = ["x", "{port}"]', "dialect must be given"),
    "nothing": ("[tiny]", "command and dialect must be given"),
    "a command as one text": ('[tiny]\ncommand = "x {port}"\ndialect = "d"', "a list of words"),
    "no port": ('[tiny]\ncommand = ["x"]\ndialect = "d"', "nothing says {port}"),
    "an unknown placeholder": ('[tiny]\ncommand = ["{port}", "{host}"]\ndialect = "d"', "unknown {host}"),
    "an unknown wire": (FULL.replace('"ws"', '"udp"'), "udp is not one of tcp, ws"),
    "a number for a text": (FULL.replace('"made up"', "1"), "note: a text is wanted"),
    "no boolean": (FULL.replace("coalescing = false", 'coalescing = "no"'), "true or false"),
    "an unknown need": (FULL.replace("executable = \"sh\"", 'library = "z"'), "executable, module"),
    "settings that are no texts": (FULL.replace('TINY = "1"', "TINY = 1"), "environment variables"),
}


@pytest.mark.parametrize("text, words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BenchError, match=rf"peers.toml: .*{words}"):
        peers(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="absent.toml: No such file"):
        read_peers(tmp_path / "absent.toml")


def test_what_is_needed_is_looked_for(tmp_path: Path) -> None:
    assert Needs(executable="sh", module="json").missing(None) == ""
    assert "no module no_such_module" in Needs(module="no_such_module").missing(None)
    assert "node has no module ws" in Needs(node_module="ws").missing(tmp_path)
    (tmp_path / "node_modules" / "ws").mkdir(parents=True)
    assert Needs(node_module="ws").missing(tmp_path) == ""


def test_servers_are_chosen_by_name() -> None:
    assert [one.name for one in choose(["streams", "fastchat"], BUILT_IN)] == ["streams", "fastchat"]
    assert choose([], BUILT_IN) == BUILT_IN
    with pytest.raises(BenchError, match="no server nonsense; there are fastchat, fastchat-ws"):
        choose(["nonsense"], BUILT_IN)
    assert present(BUILT_IN)[1] == {}
