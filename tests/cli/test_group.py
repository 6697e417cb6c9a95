"""`fastchat` itself: help that answers at once, commands that are imported when they are used."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from fastchat import __version__
from fastchat.bench.failure import BenchError
from fastchat.cli import COMMANDS, main
from fastchat.cli.failure import EXITS, Failure, explain
from fastchat.client import CannotConnect, Closed, Disconnected, Refused, RequestTimeout, ServerFault
from fastchat.errors import Code, ConfigError, FastChatError


def test_every_command_is_there_and_teaches() -> None:
    runner = CliRunner()
    listed = runner.invoke(main, ["--help"], prog_name="fastchat")
    assert listed.exit_code == 0 and "Exit codes" in listed.output
    for name, summary in COMMANDS.items():
        assert summary in listed.output
        shown = runner.invoke(main, [name, "--help"], prog_name="fastchat")
        assert shown.exit_code == 0, shown.output
        if name != "version":
            assert "Examples:" in shown.output
        command = main.get_command(click.Context(main), name)
        assert command is not None and command.help


def test_the_version_alone() -> None:
    shown = CliRunner().invoke(main, ["--version"], prog_name="fastchat")
    assert (shown.exit_code, shown.output) == (0, f"fastchat {__version__}\n")


def test_help_imports_no_server_and_no_command() -> None:
    code = (
        "import sys\n"
        "from fastchat.cli import main\n"
        "try: main(['--help'], prog_name='fastchat')\n"
        "except SystemExit: pass\n"
        "heavy = ['aiohttp', 'uvloop', 'fastchat.server', 'fastchat.hub', 'fastchat.cli.serve', 'tomllib']\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["send"],
        ["send", "--url", "http://x", "lobby", "hi"],
        ["--nope"],
        ["serve", "--set", "port"],
        ["serve", "--set", "rooms=game.policy=latest"],
    ],
)
def test_wrong_use_is_2(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments, prog_name="fastchat")
    assert done.exit_code == 2 and "Usage: fastchat" in done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("port: no"), 2),
        (CannotConnect("tcp://x: refused"), 3),
        (Refused(Code.FORBIDDEN, "no"), 4),
        (RequestTimeout("late"), 5),
        (Disconnected("gone"), 5),
        (ServerFault("garbage"), 5),
        (Closed("over"), 5),
        (BenchError("no server"), 3),
        (FastChatError("?"), 1),
    ],
)
def test_exit_codes_are_as_documented(error: FastChatError, code: int) -> None:
    assert Failure.of(error).code == code
    assert EXITS


def test_errors_say_what_to_do_and_bring_no_escape_sequences() -> None:
    assert "--name" in explain(Refused(Code.NAME_TAKEN, "taken"))
    assert "fastchat serve" in explain(CannotConnect("tcp://x: refused"))
    untrusted = explain(CannotConnect("wss://x/ws: TLS failed: CERTIFICATE_VERIFY_FAILED"))
    assert "--tls-ca" in untrusted and "fastchat serve" not in untrusted
    assert "\x1b" not in explain(Refused(999, "\x1b[31mno")) + explain(ServerFault("\x1b]0;x\x07"))
