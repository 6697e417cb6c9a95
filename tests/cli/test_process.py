"""The command line as a user runs it: real processes, signals, pipes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.protocol import codec
from fastchat.protocol.framing import tcp_frame
from fastchat.protocol.messages import Connect

SERVE = ("serve", "--port", "0", "--engine", "memory")  # which leaves nothing behind
FASTCHAT = [sys.executable, "-m", "fastchat"]
ROOT = Path(__file__).parent.parent.parent
PATIENCE = 20  # seconds for anything


def environment(**given: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FASTCHAT_")}
    kept = {
        key: value for key, value in os.environ.items() if key in ("FASTCHAT_PURE", "FASTCHAT_REQUIRE_EXT")
    }
    return clean | kept | {"PYTHONUNBUFFERED": "1"} | given


@contextmanager
def process(*arguments: str, **given: Any) -> Iterator[subprocess.Popen[str]]:
    env = environment(**given.pop("env", {}))
    one = subprocess.Popen(
        [*FASTCHAT, *arguments],
        stdin=given.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=ROOT,
    )
    try:
        yield one
    finally:
        if one.poll() is None:
            one.kill()
        one.communicate()


def line_with(one: subprocess.Popen[str], text: str) -> str:
    assert one.stdout is not None
    for line in one.stdout:
        if text in line:
            return line
    assert one.stderr is not None
    raise AssertionError(f"ended without {text!r}: {one.stderr.read()}")


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fastchat serve` on a free port; gives the process and its URL."""
    with process(*SERVE, *arguments) as server:
        found = re.search(r"tcps?://\S+", line_with(server, "clients"))
        assert found is not None
        line_with(server, "Ctrl-C")
        yield server, found[0]


def call(url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FASTCHAT, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(FASTCHAT_URL=url),
        cwd=ROOT,
    )


def test_serve_says_how_to_talk_to_it_and_drains_on_ctrl_c(tmp_path: Path) -> None:
    with process(*SERVE, "--unix", str(tmp_path / "s")) as server:
        talk = line_with(server, "  talk ")
        url = re.search(r"tcp://127\.0\.0\.1:\d+", talk)
        assert url is not None
        clients = line_with(server, "clients")
        assert f"{url[0].replace('tcp', 'ws')}/ws" in clients
        assert url[0].replace("tcp", "http") in line_with(server, "page")
        assert f"unix:{tmp_path}/s" in line_with(server, "  talk ")
        assert call(f"unix:{tmp_path}/s", "send", "lobby", "hi").returncode == 0
        with process("tail", "lobby", "--history", "1", env={"FASTCHAT_URL": url[0]}) as tail:
            assert "hi" in line_with(tail, "hi")
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=PATIENCE)
            assert server.returncode == 0
            assert [line for line in errors.splitlines() if "draining" in line] and "Traceback" not in errors
            assert tail.stderr is not None and "102" in tail.stderr.readline()
            tail.send_signal(signal.SIGINT)
            assert tail.wait(PATIENCE) == 0


def test_a_second_ctrl_c_ends_at_once() -> None:
    with served("--set", "drain_seconds=60") as (server, url):
        host, port = url.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as stuck:  # never reads its BYE, never closes
            stuck.sendall(tcp_frame(codec.encode_command(Connect(1))))
            assert stuck.recv(1)
            server.send_signal(signal.SIGINT)
            assert server.stderr is not None
            while "draining" not in server.stderr.readline():
                continue
            server.send_signal(signal.SIGINT)
            assert server.wait(5) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "allow"),
        (["--set", "nonsense=1"], 2, "nonsense"),
        (["--set", "port"], 2, "key=value"),
        (["--room", "default.histroy=1"], 2, "history"),
        (["--config", "/nonexistent.toml"], 2, "nonexistent"),
        (["--tls-cert", "/nonexistent.pem"], 2, "tls"),
    ],
)
def test_a_wrong_configuration_is_explained(arguments: list[str], code: int, words: str) -> None:
    done = call("tcp://127.0.0.1:1", *SERVE, *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.lower() and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_explained() -> None:
    with served() as (_, url):
        done = call(url, *SERVE, "--port", url.rpartition(":")[2])
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "taken" in done.stderr and "--port" in done.stderr


def test_options_reach_the_server() -> None:
    options = ["--history", "2", "--policy", "drop", "--limits", "off", "--room", "game.history=1"]
    with served(*options) as (_, url):
        assert call(url, "send", "lobby", stdin="1\n2\n3\n").returncode == 0
        assert call(url, "send", "game:1", stdin="1\n2\n3\n").returncode == 0
        tail = call(url, "tail", "lobby", "--history", "9", "--count", "2", "--json").stdout
        assert re.findall(r'"data":"(.)"', tail) == ["2", "3"]
        assert '"data":"3"' in call(url, "tail", "game:1", "--history", "9", "--count", "1", "--json").stdout


def test_chat_through_a_pipe() -> None:
    with served() as (_, url):
        done = call(url, "chat", "lobby", "--name", "bot", stdin="one\n/me waves\n\ntwo")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        tail = call(url, "tail", "lobby", "--history", "9", "--count", "3").stdout
        assert [line[9:] for line in tail.splitlines()] == ["bot: one", "bot: * bot waves", "bot: two"]
        failed = call(url, "chat", "lobby", stdin="x" * 20_000)
        assert failed.returncode == 4 and "too long" in failed.stderr


def test_tail_ends_quietly_when_nobody_reads() -> None:
    with served() as (_, url):
        assert call(url, "send", "lobby", stdin="1\n2\n3\n").returncode == 0
        with process("tail", "lobby", "--history", "3", env={"FASTCHAT_URL": url}) as tail:
            assert tail.stdout is not None and tail.stderr is not None
            assert tail.stdout.readline()
            tail.stdout.close()
            tail.stdout = None
            while tail.poll() is None:
                assert call(url, "send", "lobby", "more").returncode == 0
            assert tail.returncode == 0 and tail.stderr.read() == ""


def test_tail_interrupted_behind_a_full_pipe_ends() -> None:
    with served("--limits", "off") as (_, url):
        assert call(url, "send", "lobby", stdin=f"{'x' * 8000}\n" * 100).returncode == 0
        with process("tail", "lobby", "--history", "100", env={"FASTCHAT_URL": url}) as tail:
            assert tail.stdout is not None
            assert tail.stdout.read(10)
            assert call(url, "ping", "-c", "1").returncode == 0
            tail.send_signal(signal.SIGINT)
            assert tail.wait(5) == 0


def test_send_interrupted_says_so() -> None:
    with served() as (_, url):
        with process("send", "lobby", stdin=subprocess.PIPE, env={"FASTCHAT_URL": url}) as send:
            assert send.stdin is not None and send.stderr is not None
            send.stdin.write("one\n")
            send.stdin.flush()
            assert "one" in call(url, "tail", "lobby", "--history", "1", "--count", "1").stdout
            send.send_signal(signal.SIGINT)  # and nobody types another line
            assert send.wait(5) == 130
            assert "not everything" in send.stderr.read()


def test_what_was_said_outlives_the_server_however_it_ends(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for text, end in (("one", signal.SIGKILL), ("two", signal.SIGTERM), ("three", signal.SIGTERM)):
        with process("serve", "--port", "0", "--data", str(data)) as server:
            url = re.search(r"tcp://\S+", line_with(server, "clients"))
            assert url is not None and str(data) in line_with(server, "  data ")
            assert call(url[0], "send", "lobby", text).returncode == 0
            if text == "three":
                told = call(url[0], "tail", "lobby", "--history", "9", "--count", "3").stdout
                assert re.findall("one|two|three", told) == ["one", "two", "three"]
                other = call(url[0], "serve", "--port", "0", "--data", str(data))
                assert other.returncode == 2
                assert f"in use by another fastchat (pid {server.pid})" in other.stderr
            server.send_signal(end)
            server.wait(PATIENCE)
            assert server.returncode == (0 if end is signal.SIGTERM else -end)
