"""Result files: what was run on what, every raw sample, and what follows from them.

`bench_results/schema-KIND.json` describes those of a kind, `bench_results/index.json` lists all. They name
no host, user or path.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.programs import ROOT, compiler

FOLDER = ROOT / "bench_results"
INDEX = FOLDER / "index.json"
PACKAGES = ("fastchat", "uvloop", "msgpack", "websockets", "aiohttp", "cython")

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,),
}  # fmt: skip


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _first(path: str, start: str = "") -> str:
    """The value behind the first line of a file in /proc that begins with `start`."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    line = next((line for line in lines if line.startswith(start)), "")
    return line.partition(":")[2].strip() if start else line.strip()


def machine() -> dict[str, Any]:
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "virtual": "hypervisor" in _first("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release().partition("-")[0],
        "congestion_control": _first("/proc/sys/net/ipv4/tcp_congestion_control"),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cc": _output(*compiler(), "--version").partition("\n")[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


def document(kind: str, command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A result without scenarios yet."""
    return {
        "schema": 1,
        "kind": kind,
        "command": command,
        "commit": _output("git", "rev-parse", "HEAD"),
        "changed": bool(_output("git", "status", "--porcelain", "--", "fastchat", "benchmarks")),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "scenarios": [],
    }


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"schema-{kind}.json").read_text())
    return found


def mistakes(value: Any, rules: Mapping[str, Any], where: str = "") -> list[str]:
    """Where a value is not what a schema says: type, required, properties, items and enum are checked."""
    kind = rules.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [f"{where or 'document'}: not {kind}"]
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


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result whole or not at all, and list it if it lies in `bench_results/`."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    unfinished.rename(path)
    if path.resolve().parent != FOLDER:
        return
    index: dict[str, Any] = {"schema": 1, "results": {}}
    if INDEX.exists():
        index = json.loads(INDEX.read_text())
    entry = {name: result[name] for name in ("kind", "command", "commit", "changed", "started", "seconds")}
    index["results"][path.name] = entry | {"scenarios": [one["name"] for one in result["scenarios"]]}
    INDEX.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
