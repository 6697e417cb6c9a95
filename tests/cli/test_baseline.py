"""`fastchat serve --server threaded|streams|ack` as a user runs it."""

from __future__ import annotations

import re
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import pytest
from click.testing import CliRunner

from fastchat.cli import main
from tests.cli.test_process import PATIENCE, call, line_with, process

SPEAKING = ("threaded", "streams")


@contextmanager
def served(kind: str, *arguments: str) -> Iterator[tuple[Popen[str], str]]:
    """The server's process, and its address."""
    with process("serve", "--server", kind, "--port", "0", *arguments) as server:
        found = re.search(r"127\.0\.0\.1:\d+", line_with(server, "listens"))
        assert found is not None
        assert "not for use" in line_with(server, "baseline")
        line_with(server, "Ctrl-C")
        yield server, found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", SPEAKING)
def test_every_command_works_with_it_and_a_signal_ends_it(kind: str, number: signal.Signals) -> None:
    with served(kind) as (server, address):
        url = f"tcp://{address}"
        assert call(url, "ping", "-c", "3", "-i", "0").returncode == 0
        with process("tail", "lobby", "--json", env={"FASTCHAT_URL": url}) as tail:
            assert tail.stdout is not None and tail.stderr is not None
            said = call(url, "chat", "lobby", "--name", "ada", stdin="one\ntwo\n")
            assert said.returncode == 0, said.stderr
            while not select.select([tail.stdout], [], [], 0)[0]:  # until it has joined
                assert call(url, "send", "lobby", "three").returncode == 0
            assert '"type":"message"' in tail.stdout.readline()
            server.send_signal(number)
            _, errors = server.communicate(timeout=PATIENCE)
            assert server.returncode == 0 and errors == ""
            assert "102" in tail.stderr.readline()


@pytest.mark.parametrize("kind", [*SPEAKING, "ack"])
def test_the_end_with_somebody_there(kind: str) -> None:
    with served(kind) as (server, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port))) as silent:
            silent.sendall(b"\0")
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE) == 0


def test_ack_answers_a_line() -> None:
    with served("ack") as (_, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as sock:
            sock.sendall(b"hello\n")
            assert sock.makefile().read() == "ACK\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--server", "threaded", "--host", "0.0.0.0"], "other machines"),
        (["--server", "threaded", "--host", ""], "nowhere to listen"),
        (["--server", "streams", "--unix", "/tmp/s"], "no unix"),
        (["--server", "streams", "--allow-insecure-bind"], "no allow_insecure_bind"),
        (["--server", "threaded", "--history", "5"], "no options of rooms"),
        (["--server", "threaded", "--policy", "drop", "--set", "ping_ms=1000"], "no ping_ms, options of"),
        (["--server", "ack", "--set", "max_rooms=3"], "no max_rooms"),
        (["--server", "tornado"], "tornado"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["serve", "--port", "0", *arguments], prog_name="fastchat")
    assert words in (done.output + str(done.exception)) and done.exit_code != 0


def test_a_taken_port_is_explained() -> None:
    with served("threaded") as (_, address):
        for kind in (*SPEAKING, "ack"):
            done = call("", "serve", "--server", kind, "--port", address.rpartition(":")[2])
            assert done.returncode == 2 and "taken" in done.stderr and "Traceback" not in done.stderr


def test_what_it_takes_reaches_it() -> None:
    with served("threaded", "--set", "max_frame=1024", "--limits", "off") as (_, address):
        failed = call(f"tcp://{address}", "send", "lobby", "x" * 2000)
        assert failed.returncode == 4 and "too long" in failed.stderr


def test_help_tells_of_them() -> None:
    told = CliRunner().invoke(main, ["serve", "--help"]).output
    assert "--server" in told and "threaded|streams|ack" in told and "baselines" in told
