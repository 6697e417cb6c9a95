"""`fastchat bench capacity` as a user runs it, on servers made of a formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fastchat.bench.light import lights
from fastchat.bench.results import mistakes, schema
from fastchat.cli import main
from fastchat.cli.bench import capacity
from tests.bench.conftest import coarse as coarse
from tests.bench.simulated import SimulatedServer

pytestmark = pytest.mark.usefixtures("coarse")

Started = list[tuple[str, dict[str, str]]]
Run = Callable[..., Result]


@pytest.fixture
def started() -> Started:
    """The servers that were started, with their settings."""
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, started: Started) -> Run:
    """Runs the command on the given server instead of a process."""

    def run(*words: str, server: SimulatedServer | None = None) -> Result:
        simulated = server or SimulatedServer()

        def standing(target: Any, place: Any, settings: dict[str, str]) -> AbstractContextManager[Any]:
            started.append((target.name, settings))
            simulated.coalescing = target.coalescing
            return simulated.opened()

        monkeypatch.setattr(capacity, "standing", standing)
        return CliRunner().invoke(main, ["bench", "capacity", *words])

    return run


def test_a_quick_run_tells_predicted_and_measured(run: Run, started: Started, tmp_path: Path) -> None:
    out = tmp_path / "capacity.json"
    result = run("--quick", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "3 of 3 within 10 %" in result.stdout
    assert "room-r5-100B" in result.stdout and "per send to a member" in result.stdout
    assert "kept in" in result.stderr
    assert started[0] == ("fastchat", {"FASTCHAT_ADMISSION": "false"})
    kept = json.loads(out.read_text())
    assert mistakes(kept, schema("capacity")) == []
    assert kept["settings"]["quick"] and not kept["settings"]["admission"]
    assert str(tmp_path) not in kept["command"]


def test_points_limit_and_json(run: Run) -> None:
    result = run("--points", "teams-50-r10-*", "--limit-ms", "50", "--rounds", "1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["settings"]["limit_ms"] == 50
    rows = document["servers"]["fastchat"]["points"]
    assert [row["point"] for row in rows] == ["teams-50-r10-100B", "teams-50-r10-1000B"]
    assert all(row["failing"]["p99_ms"] > 50 >= row["passing"]["p99_ms"] for row in rows)


def test_several_servers_have_a_part_each(run: Run) -> None:
    result = run("--quick", "--servers", "fastchat,threaded", "--no-curves", "--json")
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["servers"]) == ["fastchat", "threaded"]


def test_a_server_that_dies_costs_what_was_not_measured_yet(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "capacity.json"
    result = run("--quick", "--out", str(out), server=SimulatedServer(dies_after=len(lights(True, True)) + 3))
    assert result.exit_code == 3
    assert "FAILED room-r5-100B: the server died in the middle" in result.stdout
    assert len(json.loads(out.read_text())["samples"]) == len(lights(True, True)) + 3


def test_ctrl_c_keeps_what_was_measured(run: Run, tmp_path: Path) -> None:
    class Interrupted(SimulatedServer):
        def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
            if len(self.loads) == 12:
                raise KeyboardInterrupt
            return super().put(load, listen)

    out = tmp_path / "capacity.json"
    result = run("--quick", "--out", str(out), server=Interrupted())
    assert result.exit_code == 130
    assert "stopped; what was measured so far" in result.stderr
    kept = json.loads(out.read_text())
    assert len(kept["samples"]) == 12 and mistakes(kept, schema("capacity")) == []


def test_wrong_frames_are_an_exit_code(run: Run) -> None:
    class Corrupting(SimulatedServer):
        def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
            sample = super().put(load, listen)
            sample["errors"]["corrupt"] = 1
            return sample

    assert run("--quick", server=Corrupting()).exit_code == 1


class StoppedAtOnce(SimulatedServer):
    def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "words",
    [[], ["--servers", "threaded"], ["--servers", "fastchat,threaded", "--quick"], ["--overload", "--quick"]],
    ids=" ".join,
)
def test_a_run_that_is_not_kept_says_so_before_it_begins(run: Run, words: list[str]) -> None:
    said = run(*words, server=StoppedAtOnce()).stderr
    assert said.count("--out FILE keeps it") == 1
    assert said.index("--out FILE") < said.index(": about ")


@pytest.mark.parametrize(
    "words, name",
    [
        (["--servers", "fastchat,threaded"], "capacity.json"),
        (["--overload"], "overload.json"),
        (["--quick", "--out", "mine.json"], "mine.json"),
    ],
    ids=["complete", "complete overload", "out"],
)
def test_a_run_that_is_kept_does_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastchat.bench.results.folder", lambda: tmp_path)
    said = run(*words, server=StoppedAtOnce()).stderr
    assert "--out" not in said and "kept in" in said
    assert (tmp_path / name).exists()


class Losing(SimulatedServer):
    """Loses a message in its first load, or in all that are late."""

    when = "first"

    def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
        sample = super().put(load, listen)
        late = sample["each_us"]["p99"] > 20_000
        sample["errors"]["lost"] = int(late if self.when == "late" else len(self.loads) == 1)
        return sample


@pytest.mark.parametrize("when, code", [("first", 1), ("late", 0)])
def test_lost_frames_are_wrong_until_the_knee(run: Run, when: str, code: int) -> None:
    server = Losing()
    server.when = when
    result = run("--quick", "--no-curves", server=server)
    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    "kind, verdict, code",
    [
        ("calibration", "", 1),
        ("trial", "passed", 1),
        ("trial", "failed", 0),
        ("trial", "saturated", 0),
        ("curve", "", 0),  # goes beyond N
        ("overload", "", 0),
    ],
)
def test_a_lost_frame_counts_where_the_load_was_carried(kind: str, verdict: str, code: int) -> None:
    sample = {"kind": kind, "verdict": verdict, "raw": {"errors": {"lost": 1, "closed": 1}}}
    assert capacity.status({"samples": [sample], "servers": {"fastchat": {"failures": []}}}) == code


@pytest.mark.parametrize(
    "words, says",
    [
        (["--points", "hall-*"], "no such point"),
        (["--servers", "apache"], "no server apache"),
        (["--overload", "--points", "room-*"], "its own loads"),
        (["--overload", "--servers", "threaded"], "only fastchat knows admission"),
        (["--out", "/nowhere/at/all.json", "--quick"], "no file can be written there"),
        (["--limit-ms", "0"], "limit-ms"),
    ],
)
def test_wrong_use_is_said_before_anything_is_measured(
    run: Run, started: Started, words: list[str], says: str
) -> None:
    result = run(*words)
    assert result.exit_code in (2, 3) and says in result.output
    assert not started


def test_overload_starts_the_server_with_admission_and_without(
    run: Run, started: Started, tmp_path: Path
) -> None:
    out = tmp_path / "overload.json"
    result = run("--overload", "--quick", "--limit-ms", "30", "--out", str(out))
    assert result.exit_code == 0, result.output
    on = {"FASTCHAT_ADMISSION": "true", "FASTCHAT_LATENCY_LIMIT_MS": "30"}
    off = {"FASTCHAT_ADMISSION": "false"}
    assert [settings for _, settings in started] == [off, on, on, off]
    assert "2 N, no admission" in result.stdout and "times that at 0.9 N" in result.stdout
    kept = json.loads(out.read_text())
    assert kept["kind"] == "overload" and mistakes(kept, schema("overload")) == []
