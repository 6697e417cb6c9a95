"""`fastchat bench compare` and `connections` with real servers: tables, files, failures by name, Ctrl-C."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastchat.bench import connections
from fastchat.bench.compare import QUICK, figures, points, ratios, seconds
from fastchat.bench.results import mistakes, schema
from fastchat.bench.targets import BUILT_IN, choose
from fastchat.cli import main
from fastchat.cli.bench import comparison
from fastchat.cli.bench.compare import QUICK_MEMBERS, QUICK_SECONDS, fitting
from tests.bench.samples import sample, timed

ROOT = Path(__file__).parent.parent.parent

PEERS = """
[broken]
command = ["{python}", "-c", "raise SystemExit('no, not today')", "{port}"]
dialect = "nats"

[ghost]
command = ["ghost", "{port}"]
dialect = "nats"
needs = { executable = "no-such-program" }
"""


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments], prog_name="fastchat")


def test_servers_are_compared_and_a_failure_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "peers.toml").write_text(PEERS)
    done = bench(
        "compare", "--quick", "--mode", "flood", "--members", "10",
        "--servers", "fastchat,threaded,broken,ghost",
        "--peers", str(tmp_path / "peers.toml"), "--out", str(tmp_path / "x.json"),
    )  # fmt: skip
    assert done.exit_code == 3, done.output
    assert "skipped ghost: no-such-program is not on the PATH" in done.stderr
    assert "10 members, flat out; ratios are fastchat / it" in done.stdout
    failed = "FAILED broken, 10 members, flat out, round 1: it did not start: broken ended with 1"
    assert failed in done.stdout
    assert "no, not today" in done.stdout
    written = json.loads((tmp_path / "x.json").read_text())
    assert mistakes(written, schema("compare")) == []
    assert [one["server"] for one in written["samples"]] == ["fastchat", "threaded", "broken"]
    pairs = {(one["server"], one["over"]) for one in written["ratios"]}
    assert pairs == {("fastchat", "threaded")}
    assert set(written["skipped"]) == {"ghost"}


def test_a_table_has_the_servers_by_what_they_deliver_and_how_they_differ() -> None:
    where = points((100,), ["paced"])
    entries = [
        {"round": turn, **where[0]._asdict(), "server": name, "failed": "",
         "sample": sample(name, server_cpu=cpu * turn, each_us=timed(1000 * cpu))}
        for turn in (1, 2) for name, cpu in (("threaded", 0.8), ("fastchat", 0.2), ("streams", 0.4))
    ]  # fmt: skip
    targets = choose(["fastchat", "threaded", "streams"], BUILT_IN)
    document = {
        "settings": {"modes": ["paced"], "members": [100, 5000], "rates": {"100": 100.0}},
        "samples": entries,
        "skipped": {"ghost": "not here"},
        "figures": figures(entries, where, [one.name for one in targets]),
        "ratios": ratios(entries, where, targets),
    }
    title, head, *rows, skipped = comparison.text(document).splitlines()
    assert title == "100 members, paced 100 messages/s; ratios are fastchat / it"
    assert [row.split()[0] for row in rows] == ["fastchat", "streams", "threaded"]
    assert rows[2].split()[-5:] == ["4", "0.25", "4", "to", "4"]
    assert "CPU ratio" in head and skipped == "skipped ghost: not here"


def test_a_quick_run_leaves_loads_out_rather_than_take_long() -> None:
    where = points(QUICK_MEMBERS)
    assert fitting(where, QUICK, 4) == where
    many = fitting(where, QUICK, 14)
    assert 1 <= len(many) < len(where)
    assert sum(14 * seconds(point, QUICK) for point in many) <= QUICK_SECONDS
    assert len(fitting(where, QUICK, 1000)) == 1


def test_sessions_are_held_and_told_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connections, "REST", 0.1)
    monkeypatch.setattr(connections, "SECONDS", 0.5)
    done = bench(
        "connections", "--quick", "--servers", "fastchat", "--sessions", "25",
        "--out", str(tmp_path / "x.json"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "fastchat        25" in done.stdout and "descriptors of a process" in done.stderr
    written = json.loads((tmp_path / "x.json").read_text())
    assert mistakes(written, schema("connections")) == []
    assert written["samples"][0]["sample"]["members"] == 25


def test_more_sessions_than_descriptors_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 1000))
    done = bench("connections", "--sessions", "900")
    assert done.exit_code == 3 and "ulimit -n 1200" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("compare", "--members", "ten"), ("compare", "--rounds", "0"), ("connections", "--sessions", "0")],
)
def test_wrong_use_is_2(arguments: tuple[str, ...]) -> None:
    assert bench(*arguments).exit_code == 2


def test_an_unknown_server_is_named_with_those_there_are() -> None:
    done = bench("compare", "--servers", "nonsense")
    assert done.exit_code == 3 and "no server nonsense; there are fastchat, fastchat-ws" in done.stderr


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    command = [sys.executable, "-m", "fastchat", "bench", "compare", "--servers", "fastchat"]
    command += ["--members", "10", "--mode", "flood", "--quick", "--rounds", "50", "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the generator gets it too
    shown, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "stopped; what was measured so far" in said and "10 members, flat out" in shown
    written = json.loads(out.read_text())
    assert 1 <= len(written["samples"]) < 50 and written["figures"]
