"""`fastchat bench report` as people use it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastchat.cli import main
from tests.bench.report_fixtures import write


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["bench", "report", *arguments], prog_name="fastchat")
    return done.exit_code, done.stdout, done.stderr


def test_it_says_what_it_wrote_and_what_is_missing(tmp_path: Path) -> None:
    code, out, err = run("--results", str(write(tmp_path, "connections")))
    assert code == 0
    assert out.splitlines() == [str(tmp_path / "report" / name) for name in ("index.html", "memory.png")]
    assert "knees: not measured yet, fastchat bench capacity --servers fastchat,threaded does" in err


def test_help_has_examples_and_needs_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    without_matplotlib(monkeypatch)
    code, out, _ = run("--help")
    assert code == 0 and "Examples:" in out and "fastchat bench report" in out


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_matplotlib(monkeypatch)
    code, out, err = run("--results", str(tmp_path))
    assert code != 0 and out == ""
    assert err == "fastchat: the report's plots need matplotlib: pip install 'fastchat[bench]'\n"


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("matplotlib", "fastchat.bench.report")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # what an import of a missing module runs into


def test_a_broken_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text("{")
    code, _, err = run("--results", str(tmp_path))
    assert code != 0 and "compare.json: not JSON" in err and len(err.splitlines()) == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = run("--results", str(tmp_path / "nowhere"))
    assert code != 0 and "nowhere: no such folder" in err
