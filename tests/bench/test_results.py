"""Results grow on disk sample by sample, whole or not at all, and follow their schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench import results
from fastchat.bench.failure import BenchError
from fastchat.bench.results import Record, destination, document, mistakes, read, write


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree's folder of results."""
    folder = tmp_path / "bench_results"
    folder.mkdir()
    monkeypatch.setattr(results, "checkout", lambda: tmp_path)
    return folder


def test_each_sample_is_in_the_file_before_the_next_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    record = Record(document("load", "fastchat bench load", {}), path, clock=iter((0.0, 1.5, 3.0)).__next__)
    record.add({"deliveries": 1})
    first = json.loads(path.read_text())
    assert (first["samples"], first["seconds"]) == ([{"deliveries": 1}], 1.5)
    record.put(figures=["x"])
    second = json.loads(path.read_text())
    assert (second["figures"], second["seconds"], len(second["samples"])) == (["x"], 3.0, 1)
    assert [one.name for one in tmp_path.iterdir()] == ["some.json"]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Record(document("load", "x", {}), None).add({})
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_in_the_tree_is_listed(kept: Path, tmp_path: Path) -> None:
    for kind in ("load", "compare"):
        Record(document(kind, f"fastchat bench {kind}", {}), kept / f"{kind}.json").add({})
    write(kept / "server.json", document("server", "x", {}) | {"scenarios": [{"name": "pings"}]})
    write(tmp_path / "elsewhere.json", document("server", "x", {}) | {"scenarios": []})
    listed = json.loads((kept / "index.json").read_text())["results"]
    assert set(listed) == {"load.json", "compare.json", "server.json"}
    assert (listed["compare.json"]["kind"], listed["compare.json"]["samples"]) == ("compare", 1)
    assert listed["server.json"]["scenarios"] == ["pings"]


def test_a_complete_run_is_kept_and_a_quick_one_is_not(kept: Path, tmp_path: Path) -> None:
    assert destination("load", None, complete=True) == kept / "load.json"
    assert destination("load", None, complete=False) is None
    assert destination("load", tmp_path / "x.json", complete=False) == tmp_path / "x.json"


def test_where_nothing_can_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "x.json"):
        with pytest.raises(BenchError, match="no file can be written there"):
            destination("load", path, complete=False)


def test_outside_of_a_tree_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "checkout", lambda: None)
    assert results.folder() is None and destination("load", None, complete=True) is None
    with pytest.raises(BenchError, match="schemas are in the working tree"):
        results.schema("load")
    write(tmp_path / "x.json", {"kind": "load"})


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    for text, words in (("{", "not JSON"), ("[]", "not a result"), ('{"a": 1}', "not a result")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(BenchError, match=f"x.json: {words}"):
            read(tmp_path / "x.json")
    with pytest.raises(BenchError, match="No such file"):
        read(tmp_path / "absent.json")


def test_each_mistake_against_a_schema_is_named() -> None:
    rules: dict[str, Any] = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": {"type": "integer"},
        "properties": {"a": {"type": ["number", "null"]}, "b": {"items": {"enum": ["x"]}}},
    }
    assert mistakes({"a": None, "b": ["x"], "c": 1}, rules) == []
    assert mistakes({"a": True, "b": ["y"], "c": 1.5}, rules) == [
        ".a: not number or null",
        ".b[0]: not one of ['x']",
        ".c: not integer",
    ]
    assert mistakes([], rules) == ["document: not object"]
    assert mistakes({}, rules) == [".a is missing"]


def schemas() -> list[Path]:
    folder = results.folder()
    assert folder is not None
    return sorted(folder.glob("schema-*.json"))


@pytest.mark.parametrize("path", schemas(), ids=lambda path: path.stem)
def test_every_schema_describes_what_every_result_has(path: Path) -> None:
    kind = path.stem.removeprefix("schema-")
    rules = results.schema(kind)
    entry = rules["properties"]["kind"]["enum"]
    assert entry == [kind]
    bare = document(kind, "x", {})
    assert set(bare) <= set(rules["required"])
    missing = {name for name in rules["required"] if name not in bare}
    found = mistakes(bare, rules | {"required": []})
    assert [one for one in found if not one.startswith(".settings")] == [], missing
