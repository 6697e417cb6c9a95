"""Results that have tables and no plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench.report import report
from fastchat.bench.report_plain import tables
from tests.bench.report_fixtures import document

RESULTS = Path(__file__).parents[2] / "bench_results"
TIMING = {"count": 5, "p99": 12_300.0}
LOAD: dict[str, Any] = {
    "server": "fastchat", "members": 1000, "offered": 2000.0, "achieved": 1900.0, "each_us": TIMING,
    "server_cpu": 1.5, "seconds": 3.0, "deliveries": 3_000_000,
}  # fmt: skip
MICRO = {"name": "framing", "figures": [{"case": "cython", "median_ns": 240.0, "times_the_fastest": 1.0}]}


def test_claims_are_those_of_the_file() -> None:
    content = json.loads((RESULTS / "server.json").read_text())
    (table,) = tables("server", content)
    assert len(table.rows) == sum(len(scenario["claims"]) for scenario in content["scenarios"])


def test_a_load_says_what_it_lacked() -> None:
    (table,) = tables("load", {"samples": [LOAD, LOAD | {"offered": 0.0, "server_cpu": 0.0}]})
    first, second = table.rows
    assert first == ("fastchat", "1,000", "2 k", "1.9 k (too few)", "12.3 ms", "50 %", "2 M")
    assert (second[2], second[3], second[6]) == ("–", "–", "–")


def test_functions_are_grouped() -> None:
    (table,) = tables("micro", {"scenarios": [MICRO]})
    assert (table.title, table.rows) == ("framing", (("cython", "0.24", "1"),))


@pytest.mark.parametrize("kind", ["server", "load", "micro"])
@pytest.mark.parametrize(
    "content", [{}, {"scenarios": [7], "samples": [{}]}, {"scenarios": None, "samples": 3}]
)
def test_what_cannot_be_read_has_no_table(kind: str, content: dict[str, Any]) -> None:
    assert tables(kind, content) == []


def test_they_are_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text(json.dumps(document("load", "fastchat bench load", samples=[LOAD])))
    page = report(tmp_path, tmp_path).written[0].read_text("utf-8")
    assert "1.9 k (too few)" in page and "Single loads" in page
    assert "Not measured yet: <code>python -m benchmarks.micro</code>" in page
