"""send, tail, ping, version and completion against a real server, through click's own runner."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastchat.cli import main
from fastchat.cli.ping import percentile
from fastchat.client import connect_sync
from tests.client.background import Running, running

ROOT = Path(__file__).parent.parent.parent


def call(runner: CliRunner, *arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(main, list(arguments), input=stdin, prog_name="fastchat")


def said(server: Running, room: str = "lobby") -> list[object]:
    with connect_sync(server.url) as chat:
        chat.join(room)
        return [one.data for one in chat.history(room)]


def test_send_says_its_text(runner: CliRunner, server: Running) -> None:
    assert call(runner, "send", "lobby", "hello", "you", "--name", "ada").output == ""
    assert call(runner, "send", "lobby", '{"move": "e4"}', "--json").exit_code == 0
    assert call(runner, "send", "lobby", "gone", "--ephemeral").exit_code == 0
    assert said(server) == ["hello you", {"move": "e4"}]


def piped(*arguments: str, stdin: bytes) -> subprocess.CompletedProcess[str]:
    """As `call`, in a process: click's runner has no stdin that a thread could read."""
    command = [sys.executable, "-m", "fastchat", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=20, cwd=ROOT)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_send_takes_lines(server: Running) -> None:
    done = piped("send", "lobby", stdin="one\n\n  \ntwo\r\n你好".encode() + b"\xff")
    assert done.returncode == 0, done.stderr
    assert said(server) == ["one", "two", "你好\ufffd"]


def test_send_takes_lines_of_json(server: Running) -> None:
    assert piped("send", "lobby", "--json", stdin=b'{"a": 1}\n[2]\n').returncode == 0
    wrong = piped("send", "lobby", "--json", stdin=b"3\n{\n4\n")
    assert wrong.returncode == 2 and "not JSON" in wrong.stderr
    assert said(server) == [{"a": 1}, [2], 3]


def test_send_with_a_key_says_it_once(runner: CliRunner, server: Running) -> None:
    for _ in range(2):
        assert call(runner, "send", "lobby", "once", "--key", "k", "--name", "ada").exit_code == 0
    assert said(server) == ["once"]
    assert call(runner, "send", "lobby", "--key", "k", stdin="x\n").exit_code == 2


def test_send_fails_loudly(runner: CliRunner, server: Running) -> None:
    refused = call(runner, "send", "no room!", "hi")
    assert refused.exit_code == 4 and "refused" in refused.stderr and "302" in refused.stderr
    long = piped("send", "lobby", stdin=b"fine\n" + b"x" * 20_000 + b"\nnever\n")
    assert long.returncode == 4 and "after 1 that were acknowledged" in long.stderr
    assert said(server) == ["fine"]
    nobody = call(runner, "send", "lobby", "hi", "--url", "tcp://127.0.0.1:1")
    assert nobody.exit_code == 3 and "Connection refused" in nobody.stderr
    assert call(runner, "send", "lobby", "{", "--json").exit_code == 2
    with connect_sync(server.url, name="ada"):
        taken = call(runner, "send", "lobby", "hi", "--name", "ada")
        assert taken.exit_code == 4 and "--name" in taken.stderr


def test_tail_prints_what_was_said(runner: CliRunner, server: Running) -> None:
    with connect_sync(server.url, name="ada") as ada:
        for text in ("one", "two\x1b[31m\nada: forged", {"a": b"\xff"}):
            ada.publish("lobby", text)
    done = call(runner, "tail", "lobby", "--history", "3", "--count", "3")
    assert done.exit_code == 0
    lines = [line[9:] if line[:1].isdigit() else line for line in done.stdout.splitlines()]
    assert lines == ["ada: one", "ada: two␛[31m", "      │ ada: forged", 'ada: {"a":{"$bin":"/w=="}}']
    done = call(runner, "tail", "lobby", "--history", "2", "--count", "2", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["offset"] for one in records] == [2, 3]
    assert records[0]["type"] == "message" and records[0]["data"] == "two\x1b[31m\nada: forged"
    assert "\x1b" not in done.stdout


def test_tail_of_a_room_that_is_refused(runner: CliRunner, server: Running) -> None:
    assert call(runner, "tail", "no room!").exit_code == 4


def test_ping_reports_percentiles(runner: CliRunner, server: Running) -> None:
    done = call(runner, "ping", "-c", "20", "-i", "0", "--json")
    report = json.loads(done.stdout)
    assert report["count"] == 20 and report["unit"] == "ms"
    assert 0 < report["p50"] <= report["p90"] <= report["p99"] <= report["max"]
    shown = call(runner, "ping", "-c", "2", "-i", "0.01").stdout
    assert "2 round trips to tcp://" in shown and "p99" in shown
    assert call(runner, "ping", "--url", "ws://127.0.0.1:1").exit_code == 3


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.9, 0.99, 1.0)] == [1, 50, 90, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


@pytest.mark.parametrize("kind", ["ws", "unix"])
def test_other_addresses(runner: CliRunner, kind: str, tmp_path: Path) -> None:
    with running(unix=str(tmp_path / "s")) as server:
        url = f"unix:{tmp_path}/s" if kind == "unix" else f"ws://127.0.0.1:{server.server.port}"
        assert call(runner, "send", "lobby", "hi", "--url", url).exit_code == 0
        assert said(server) == ["hi"]


def test_version_tells_what_runs(runner: CliRunner) -> None:
    facts = json.loads(call(runner, "version", "--json").stdout)
    assert {"fastchat", "python", "uvloop", "msgpack", "websockets", "backend"} <= set(facts)
    assert facts["broadcast"] in ("compiled", "pure")
    assert "python" in call(runner, "version").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(runner: CliRunner, shell: str) -> None:
    script = call(runner, "completion", shell).stdout
    assert "_FASTCHAT_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_completion_completes(runner: CliRunner) -> None:
    env = {"_FASTCHAT_COMPLETE": "bash_complete", "COMP_WORDS": "fastchat ta", "COMP_CWORD": "1"}
    done = runner.invoke(main, [], prog_name="fastchat", env=env)
    assert done.stdout.split() == ["plain,tail"]


@pytest.mark.parametrize("text", ["", "  \n", "two words", "x" * 9000, "tök"])
def test_a_broken_token_file_is_explained(runner: CliRunner, tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="utf-8")
    done = call(runner, "ping", "--token-file", str(path))
    assert done.exit_code == 2 and "no file with one token" in done.stderr
    missing = call(runner, "send", "lobby", "hi", "--token-file", str(tmp_path / "none"))
    assert missing.exit_code == 2 and "No such file" in missing.stderr


@pytest.mark.parametrize("way", ["file", "variable"])
def test_a_token_is_shown_and_never_told(
    runner: CliRunner, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    secret = "this-is-no-token-but-a-secret"
    path = tmp_path / "token"
    path.write_text(secret + "\n")
    arguments = ["--token-file", str(path)] if way == "file" else []
    if way == "variable":
        monkeypatch.setenv("FASTCHAT_TOKEN", secret)
    done = call(runner, "send", "lobby", "hi", *arguments)
    assert done.exit_code == 4 and "(202)" in done.stderr and "--token-file" in done.stderr
    assert secret not in done.stdout + done.stderr and said(server) == []


def test_a_broken_authority_file_is_explained(runner: CliRunner, server: Running, tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("nonsense")
    done = call(runner, "ping", "--tls-ca", str(broken))
    assert done.exit_code == 2 and "--tls-ca" in done.stderr
