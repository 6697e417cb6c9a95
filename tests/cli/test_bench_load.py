"""`fastchat bench load` with real servers: what it shows and keeps, and what it says when things go wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fastchat.bench.processes import Cores, Place, Running, free_port, running
from fastchat.bench.results import mistakes, schema
from fastchat.bench.targets import BUILT_IN
from fastchat.capacity import Group
from fastchat.cli import main
from fastchat.cli.bench import sample as page
from fastchat.cli.bench.load import planned, seated, shared, status
from tests.bench.samples import broken, sample, timed

ROOT = Path(__file__).parent.parent.parent
SHORT = ("--clients", "20", "--seconds", "0.3", "--warmup", "0.1")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(BUILT_IN[0], Place(Cores(None, None), os.environ)) as instance:
        yield instance


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", "load", *arguments], prog_name="fastchat")


def test_a_server_is_started_loaded_and_told_about(tmp_path: Path) -> None:
    done = bench(*SHORT, "--per-client", "10", "--room-size", "6", "--out", str(tmp_path / "x.json"))
    assert done.exit_code == 0, done.output
    for words in ("20 clients, members per room 3 x 6 + 2", "offered", "p99.9", "deliveries per CPU second",
                  "KiB resident", "errors      none"):  # fmt: skip
        assert words in done.stdout
    written = json.loads((tmp_path / "x.json").read_text())
    assert mistakes(written, schema("load")) == []
    assert written["samples"][0]["members"] == 20 and "kept in" in done.stderr


@pytest.mark.parametrize("wire, mode", [("tcp", "paced"), ("ws", "flood"), ("tcp", "pings")])
def test_a_server_that_runs_is_measured_and_left_alone(server: Running, wire: str, mode: str) -> None:
    done = bench(*SHORT, "--port", str(server.port), "--wire", wire, "--mode", mode, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert mistakes(document, schema("load")) == []
    (taken,) = document["samples"]
    assert (taken["load"]["wire"], taken["load"]["mode"]) == (wire, mode)
    assert taken["server_cpu"] > 0 and taken["resident"]["connected"] > 1 << 20
    assert server.alive()


def test_a_load_that_is_not_carried_in_time_is_4(server: Running) -> None:
    done = bench(*SHORT, "--port", str(server.port), "--rate", "100", "--limit-ms", "0.0001")
    assert done.exit_code == 4 and "NOT carried within 0.0001 ms" in done.stdout


def kill_once_busy(pid: int) -> None:
    """Kill a server that has used 0.3 s of CPU since now: connecting is over by then, the load is not."""
    clock = (~pid << 3) | 2
    begun = time.clock_gettime(clock)
    deadline = time.monotonic() + 30
    while time.clock_gettime(clock) < begun + 0.3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)


def test_a_server_that_dies_in_the_middle_is_told_and_the_sample_kept(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    with running(BUILT_IN[0], Place(Cores(None, None), os.environ)) as victim:
        command = [sys.executable, "-m", "fastchat", "bench", "load", "--port", str(victim.port)]
        command += ["--mode", "flood", "--clients", "50", "--seconds", "60", "--warmup", "0"]
        command += ["--out", str(out)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        kill_once_busy(victim.pid)
        shown, said = process.communicate(timeout=30)
    assert process.returncode == 3, said
    ended = f"the server on port {victim.port} (pid {victim.pid}) ended"
    assert f"the server died in the middle: {ended}" in said
    assert "closed" in shown
    (kept,) = json.loads(out.read_text())["samples"]
    assert kept["errors"]["closed"] > 0 and kept["deliveries"] > 0


def test_a_refused_port_is_told() -> None:
    done = bench("--port", str(free_port()))
    assert done.exit_code == 3 and "nobody accepts connections on 127.0.0.1" in done.stderr


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    ghost = '[ghost]\ncommand = ["ghost", "{port}"]\ndialect = "nats"\n'
    (tmp_path / "p.toml").write_text(ghost + 'needs = { executable = "no-such-program" }\n')
    done = bench("--server", "ghost", "--peers", str(tmp_path / "p.toml"))
    assert done.exit_code == 3 and "ghost: no-such-program is not on the PATH (make peers)" in done.stderr
    assert bench("--server", "nonsense").exit_code == 3


def test_too_few_descriptors_are_told(monkeypatch: pytest.MonkeyPatch, server: Running) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 350))
    done = bench("--port", str(server.port), "--clients", "1000")
    assert done.exit_code == 3 and "ulimit -n 1300" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--rooms", "2", "--room-size", "5"), "one of --rooms, --room-size and --shape"),
        (("--rate", "5", "--per-client", "5"), "one of them"),
        (("--mode", "flood", "--rate", "5"), "goes as fast as it can"),
        (("--clients", "5", "--rooms", "6"), "more than there are clients"),
        (("--server", "threaded", "--wire", "ws"), "threaded is measured over tcp"),
        (("--payload", "5"), "32<=x<=16000"),
    ],
)
def test_contradictions_are_wrong_use(arguments: tuple[str, ...], words: str) -> None:
    done = bench(*arguments)
    assert done.exit_code == 2 and words in done.stderr


def test_clients_sit_as_asked() -> None:
    assert seated(20, 6) == (Group(3, 6), Group(1, 2)) and seated(12, 6) == (Group(2, 6),)
    assert seated(3, 6) == (Group(1, 3),)
    assert shared(10, 4) == (Group(2, 3), Group(2, 2)) and shared(9, 3) == (Group(3, 3),)
    usual = {"per_client": None, "rate": None, "rooms": None, "room_size": None, "shape": None}
    plan = planned(clients=1000, mode="paced", **usual | {"shape": "teams-5", "per_client": 2.0})
    assert (plan.groups, plan.rate, plan.publishers) == ((Group(200, 5),), 2000.0, 0)
    flood = planned(clients=10, mode="flood", **usual)
    assert (flood.groups, flood.publishers) == ((Group(1, 10),), 1)
    with pytest.raises(click.UsageError):
        planned(clients=10, mode="pings", **usual | {"rate": 5.0})


def test_the_exit_code_tells_what_was_wrong() -> None:
    assert status(sample(), None, False) == status(sample(), 3.5, False) == 0
    assert status(sample(), 2.5, False) == status(sample(achieved=98.0), 10.0, False) == 4
    assert status(sample(**broken(lost=1)), None, False) == 1
    assert status(sample(), None, True) == status(None, None, False) == 130


def test_doubts_are_put_beside_the_figures() -> None:
    late = sample(saturated=True, lateness_us=timed(2000.0))
    assert "SATURATED: 99 % of its sends were up to 6 ms late: do not blame the server" in page.text(late)
    assert page.doubts(late) == " (the generator was SATURATED)"
    assert "SATURATED: it was busy" in page.text(sample(saturated=True))
    behind = sample(achieved=50.0)
    assert "50%" in page.text(behind) and "NOT carried: 50 of 100 messages/s" in page.doubts(behind)
    assert page.doubts(sample()) == ""
    wrong = page.text(sample(**broken(lost=2), refused_101=7))
    assert "2 lost: client 3: offset 7 never came; 7 refused because of overload (101)" in wrong
    unknown = page.text(sample(server_cpu=0.0))
    assert "CPU second" not in unknown
