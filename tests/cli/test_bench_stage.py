"""What the laboratory's commands share: servers, results, words, Ctrl-C."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fastchat.bench.failure import BenchError
from fastchat.bench.processes import Cores
from fastchat.bench.results import Record
from fastchat.bench.targets import BUILT_IN, Needs, Target
from fastchat.cli import main
from fastchat.cli.bench import SUMMARIES, stage
from fastchat.cli.bench.progress import Progress
from tests.cli.test_bench_progress import Terminal


def test_the_command_is_kept_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["x", "bench", "compare", "--out", "/a/b.json", "--quick", "--peers=/c.toml", "--servers", "a b"]
    monkeypatch.setattr(sys, "argv", line)
    assert stage.words() == "fastchat bench compare --quick --servers 'a b'"


def test_one_core_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Cores, "choose", lambda: Cores(None, None))
    assert not stage.here().cores.pinned
    assert "one core only" in capsys.readouterr().err


def test_peers_are_those_of_the_file_given_or_of_the_working_tree(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[tiny]\ncommand = ["tiny", "{port}"]\ndialect = "nats"\n')
    assert [one.name for one in stage.known(tmp_path / "mine.toml")][len(BUILT_IN) :] == ["tiny"]
    assert "nats" in [one.name for one in stage.known(None)]


def test_without_a_file_there_are_no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "checkout", lambda: None)
    assert stage.known(None) == BUILT_IN


def test_what_is_missing_is_skipped_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    ghost = Target("ghost", ("ghost", "{port}"), needs=Needs(executable="no-such-program"))
    found, skipped = stage.startable([BUILT_IN[0], ghost])
    assert found == [BUILT_IN[0]] and set(skipped) == {"ghost"}
    assert "skipped ghost: no-such-program is not on the PATH (make peers)" in capsys.readouterr().err


def test_versions_are_what_the_peers_say(tmp_path: Path) -> None:
    says = Target("says", ("x",), version=("{python}", "-c", "print('1.2\\nmore')"), folder=tmp_path)
    silent = Target("silent", ("x",), version=("no-such-program",), folder=tmp_path)
    assert stage.versions([says, silent, BUILT_IN[0]]) == {"peer says": "1.2", "peer silent": ""}


def test_a_result_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--out"):
        stage.record("load", {}, tmp_path / "absent" / "x.json", complete=False)


def test_ctrl_c_ends_the_run_and_keeps_what_there_is(tmp_path: Path) -> None:
    stream, path = Terminal(), tmp_path / "x.json"
    record = Record({"kind": "load"}, path)
    with stage.interruptible(record, Progress(stream, 1.0)) as stopped:
        record.add({"a": 1})
        raise KeyboardInterrupt
    assert stopped() and "stopped; what was measured so far" in stream.getvalue()
    assert '"a": 1' in path.read_text() and stage.kept_in(record) == f"kept in {path}"
    with stage.interruptible(Record({}, None), Progress(io.StringIO(), 1.0)) as stopped:
        assert stage.kept_in(Record({}, None)) == ""
    assert not stopped()


def test_lists_are_checked() -> None:
    ctx, option = click.Context(click.Command("x")), click.Option(["--members"])
    assert stage.numbers(ctx, option, "10,100") == [10, 100] and stage.numbers(ctx, option, None) == []
    assert stage.names(ctx, option, "a, b,") == ["a", "b"] and stage.names(ctx, option, None) == []
    for wrong in ("ten", "10,,5", "0"):
        with pytest.raises(click.BadParameter):
            stage.numbers(ctx, option, wrong)


def test_every_command_teaches() -> None:
    runner = CliRunner()
    listed = runner.invoke(main, ["bench", "--help"], prog_name="fastchat")
    assert "N >= r x C" in listed.output and "Exit codes" in listed.output
    for name, summary in SUMMARIES.items():
        assert summary in listed.output
        shown = runner.invoke(main, ["bench", name, "--help"], prog_name="fastchat")
        assert shown.exit_code == 0 and "Examples:" in shown.output, shown.output


def test_an_extension_that_was_not_built_is_told() -> None:
    code = (
        "import sys; sys.modules['fastchat.bench._swarm'] = None\n"
        "from fastchat.cli import main\n"
        "main(['bench', 'load'], prog_name='fastchat')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 3, done.stderr
    assert "the load generator is not built" in done.stderr and "Traceback" not in done.stderr
