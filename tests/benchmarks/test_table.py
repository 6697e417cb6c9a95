"""docs/BENCHMARKS.md and the README say what the results say, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import table
from fastchat.bench.report_files import File
from fastchat.bench.report_sections import SECTIONS
from fastchat.bench.results import mistakes, schema
from tests.bench.report_fixtures import capacity, write
from tools import readme

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench_results"


def test_the_document_is_as_the_results_make_it() -> None:
    there = table.DOCUMENT.read_text("utf-8")
    assert there == table.regenerated(there), "python -m benchmarks.table brings it up to date"


def test_every_part_is_made_of_its_own_result_and_the_rest_stays(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    there = table.regenerated(table.DOCUMENT.read_text("utf-8"), empty)
    made = table.regenerated(there, write(tmp_path))
    assert made == table.regenerated(made, tmp_path) != there
    for words in (
        "Measured with `fastchat bench capacity --servers fastchat,threaded` in 13 minutes: commit 0123",
        "| one room | 2 | 100 |",
        "flat out: deliveries per CPU second",
        "| fastchat-ws | 19,000 | 2.93 KiB |",
        "| fastchat | one room | 2 | off |",
    ):
        assert words in made and words not in there
    before = there.partition("<!-- generated")[0]
    assert made.startswith(before)


def test_pictures_are_shown_where_there_are_any(tmp_path: Path) -> None:
    there = table.DOCUMENT.read_text("utf-8")
    write(tmp_path, "connections")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "memory.png").write_bytes(b"")
    made = table.regenerated(there, tmp_path)
    assert "![Memory of a connection](../bench_results/report/memory.png)" in made
    assert "/knees.png" not in made


def test_what_was_not_measured_is_said_with_its_command(tmp_path: Path) -> None:
    made = table.regenerated(table.DOCUMENT.read_text("utf-8"), tmp_path)
    for command in ("compare", "connections", "capacity --overload"):
        assert f"(Not measured yet: `fastchat bench {command}` does.)" in made


def test_a_part_without_an_end_is_an_error() -> None:
    begin = table.BEGIN.format("x.json")
    with pytest.raises(ValueError, match="nothing ends the part"):
        table.replaced(f"a\n{begin}\nb", "x.json", "c")
    assert table.replaced(f"a\n{begin}\nb\n{table.END}\nd", "x.json", "c") == f"a\n{begin}\nc\n{table.END}\nd"


def test_the_readme_tells_how_many_clients_fit_only_if_it_was_measured() -> None:
    there = readme.README.read_text("utf-8")
    assert readme.NO_CAPACITY in readme.users(there, None, picture=True)
    made = readme.users(there, File("capacity.json", capacity()), picture=True)
    assert "| one room, each says 2 a second | " in made
    assert " of 24 predictions within 10 % of what was measured, 1 without a knee." in made
    assert "![Predicted against measured knee](bench_results/report/knees.png)" in made
    assert "teams of 50, each says 10 a second" in made and readme.NO_CAPACITY not in made
    assert "knees.png" not in readme.users(there, File("capacity.json", capacity()), picture=False)


def test_every_committed_result_follows_its_schema_and_is_listed() -> None:
    index = json.loads((RESULTS / "index.json").read_text())["results"]
    found = {path.name for path in RESULTS.glob("*.json") if not path.name.startswith("schema-")}
    assert found - {"index.json"} == set(index)
    for name, listed in index.items():
        result = json.loads((RESULTS / name).read_text())
        assert mistakes(result, schema(result["kind"], RESULTS)) == [], name
        assert (listed["kind"], listed["started"]) == (result["kind"], result["started"])


@pytest.mark.parametrize("path", sorted(RESULTS.glob("schema-*.json")), ids=lambda path: path.stem)
def test_a_schema_describes_its_kind_and_asks_for_where_a_result_comes_from(path: Path) -> None:
    rules = json.loads(path.read_text())
    kind = path.stem.removeprefix("schema-")
    assert rules["properties"]["kind"]["enum"] == [kind]
    assert {"command", "commit", "changed", "started", "machine", "versions"} <= set(rules["required"])
    assert mistakes({"kind": "else"}, rules)


def test_committed_pictures_are_small_and_of_sections_that_exist() -> None:
    names = {section.name for section in SECTIONS}
    for path in RESULTS.glob("report/*.png"):
        assert path.stem in names and path.stat().st_size < 60_000, path.name
