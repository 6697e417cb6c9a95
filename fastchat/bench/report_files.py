"""Which result files the report is made of: of each kind the newest, a quick one only without another.

Raises nothing for what is missing: each section says itself which command makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastchat.bench.failure import BenchError
from fastchat.bench.results import INDEX_NAME, read

KINDS = ("server", "capacity", "compare", "connections", "overload", "load", "micro")


@dataclass(frozen=True, slots=True)
class File:
    """A result as it was read; `name` is the file's."""

    name: str
    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def quick(self) -> bool:
        settings = self.content.get("settings")
        return bool(isinstance(settings, Mapping) and settings.get("quick"))

    @property
    def command(self) -> str:
        return str(self.content.get("command", "?"))

    @property
    def provenance(self) -> str:
        """Commit, date and machine in one sentence."""
        content = self.content
        machine, versions = content.get("machine") or {}, content.get("versions") or {}
        kind = "virtual machine" if machine.get("virtual") else "machine"
        commit = str(content.get("commit") or "unknown")[:12]
        changes = " with changes" if content.get("changed") else ""
        parts = [
            f"commit {commit}{changes}",
            f"{str(content.get('started', '?'))[:10]}",
            f"{machine.get('cores', '?')} cores of {machine.get('processor', '?')}, {kind}",
            f"Linux {machine.get('kernel', '?')}",
            f"Python {versions.get('python', '?')}",
            f"uvloop {versions.get('uvloop', '?')}",
        ]
        return ", ".join(parts)


def load(folder: Path) -> dict[str, File]:
    """The file of each kind. Raises BenchError with the file's name for one that is no result."""
    if not folder.is_dir():
        raise BenchError(f"{folder}: no such folder; fastchat bench COMMAND --out FILE makes results")
    found: dict[str, File] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name == INDEX_NAME or path.name.startswith("schema-"):
            continue
        file = File(path.name, read(path))
        other = found.get(file.kind)
        if other is None or _worth(other) < _worth(file):
            found[file.kind] = file
    return found


def _worth(file: File) -> tuple[bool, str]:
    return not file.quick, str(file.content.get("started", ""))
