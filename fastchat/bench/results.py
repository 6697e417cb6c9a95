"""Result files: what was run on what, and every raw sample. They are written after each sample.

`bench_results/schema-KIND.json` describes those of a kind, `bench_results/index.json` lists all. They name
no host, user or path.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from fastchat.bench.failure import BenchError
from fastchat.bench.machine import checkout, commit, machine, versions

Document: TypeAlias = dict[str, Any]

FOLDER_NAME = "bench_results"
INDEX_NAME = "index.json"
LISTED = ("kind", "command", "commit", "changed", "started", "seconds")

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def folder() -> Path | None:
    """`bench_results/` of the working tree that runs; None where the package is installed."""
    root = checkout()
    return root / FOLDER_NAME if root else None


def destination(kind: str, out: Path | None, complete: bool) -> Path | None:
    """Where a result goes: `out`; else a complete run in a working tree is kept in `bench_results/KIND.json`.

    Raises BenchError if it could not be written there, before anything has been measured.
    """
    kept = folder()
    path = out or (kept / f"{kind}.json" if kept and complete else None)
    if path is None:
        return None
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise BenchError(f"--out {path}: no file can be written there")
    return path


def document(
    kind: str,
    command: str,
    settings: Mapping[str, Any],
    *,
    compiler: Sequence[str] = ("cc",),
    peers: Mapping[str, str] | None = None,
) -> Document:
    """A result without samples yet; `peers` has the versions of other servers by name."""
    revision, changed = commit()
    return {
        "schema": 1,
        "kind": kind,
        "command": command,
        "commit": revision,
        "changed": changed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "machine": machine(),
        "versions": versions(compiler) | dict(peers or {}),
        "settings": dict(settings),
    }


class Record:
    """A result that grows: each change is in the file before the next sample is taken.

    `path` None keeps it in memory only. `document["samples"]` is the list that `add` appends to; anything
    else is set with `put`.
    """

    def __init__(
        self, document: Document, path: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.document = document
        self.path = path
        self._clock = clock
        self._begun = clock()
        self.document.setdefault("samples", [])

    @property
    def samples(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document["samples"]
        return found

    def add(self, sample: Mapping[str, Any]) -> None:
        """Keep a sample."""
        self.samples.append(dict(sample))
        self.save()

    def put(self, **parts: Any) -> None:
        """Set what follows from the samples."""
        self.document.update(parts)
        self.save()

    def save(self) -> None:
        self.document["seconds"] = round(self._clock() - self._begun, 1)
        if self.path is not None:
            write(self.path, self.document)


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole or not at all, and list it if it lies in `bench_results/`."""
    _replace(path, result)
    kept = folder()
    if kept is None or path.resolve().parent != kept:
        return
    index: Document = {"schema": 1, "results": {}}
    if (kept / INDEX_NAME).exists():
        index = json.loads((kept / INDEX_NAME).read_text())
    entry = {name: result[name] for name in LISTED}
    if "scenarios" in result:
        entry["scenarios"] = [one["name"] for one in result["scenarios"]]
    else:
        entry["samples"] = len(result["samples"])
    index["results"][path.name] = entry
    _replace(kept / INDEX_NAME, index)


def _replace(path: Path, value: Mapping[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    unfinished.rename(path)


def read(path: Path) -> Document:
    """A result file. Raises BenchError if it is none."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BenchError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict) or "kind" not in found:
        raise BenchError(f"{path}: not a result of fastchat bench")
    return found


def schema(kind: str, kept: Path | None = None) -> dict[str, Any]:
    """The schema of results of a kind. Raises BenchError outside of a working tree."""
    kept = kept or folder()
    if kept is None:
        raise BenchError("the schemas are in the working tree: bench_results/schema-KIND.json")
    found: dict[str, Any] = json.loads((kept / f"schema-{kind}.json").read_text())
    return found


def mistakes(value: Any, rules: Mapping[str, Any], where: str = "") -> list[str]:
    """Where a value is not what a schema says: type, required, properties, items and enum are checked."""
    kinds = rules.get("type")
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return [f"{where or 'document'}: not {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"]
    found = [f"{where}: not one of {rules['enum']}"] if value not in rules.get("enum", [value]) else []
    if isinstance(value, dict):
        found += [f"{where}.{name} is missing" for name in rules.get("required", ()) if name not in value]
        properties, others = rules.get("properties", {}), rules.get("additionalProperties", {})
        for name, item in value.items():
            if name not in properties and others is False:
                found.append(f"{where}.{name} is unknown")
                continue
            found += mistakes(item, properties.get(name, others or {}), f"{where}.{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += mistakes(item, rules.get("items", {}), f"{where}[{number}]")
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])
