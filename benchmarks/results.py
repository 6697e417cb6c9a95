"""Results of the benchmarks: those of `fastchat.bench.results`, judged in scenarios.

`bench_results/schema-KIND.json` describes those of a kind, `bench_results/index.json` lists all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.programs import ROOT, compiler
from fastchat.bench import results
from fastchat.bench.results import FOLDER_NAME, INDEX_NAME, mistakes, schema, write

__all__ = ["FOLDER", "INDEX", "document", "mistakes", "schema", "write"]

FOLDER = ROOT / FOLDER_NAME
INDEX = FOLDER / INDEX_NAME


def document(kind: str, command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A result without scenarios yet."""
    return results.document(kind, command, settings, compiler=compiler()) | {"scenarios": []}
