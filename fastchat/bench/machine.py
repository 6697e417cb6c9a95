"""What a result was measured on: machine, versions, commit. It names no host, user or path."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fastchat.bench.failure import BenchError

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent  # what `python -m fastchat` is started from, so that it is this very package
PACKAGES = ("fastchat", "uvloop", "msgpack", "websockets", "aiohttp", "cython")
SPARE = 300  # descriptors that a process needs besides its connections: files, listeners, refusals


def output(*command: str, folder: Path = ROOT) -> str:
    """What a command prints, stripped; "" if it cannot be run."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def checkout() -> Path | None:
    """The root of the working tree that this package lies in; None where it is installed."""
    return ROOT if (ROOT / "pyproject.toml").exists() and (ROOT / "bench_results").is_dir() else None


def commit() -> tuple[str, bool]:
    """The working tree's commit, and whether package or benchmarks differ from it; "" where there is none."""
    if checkout() is None:
        return "", False
    changes = output("git", "status", "--porcelain", "--", "fastchat", "benchmarks")
    return output("git", "rev-parse", "HEAD"), bool(changes)


def first(path: str, start: str = "") -> str:
    """The value behind the first line of a file in /proc that begins with `start`; "" if there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    line = next((line for line in lines if line.startswith(start)), "")
    return line.partition(":")[2].strip() if start else line.strip()


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, kernel, and what matters for loopback."""
    return {
        "processor": first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": first("/proc/meminfo", "MemTotal"),
        "virtual": "hypervisor" in first("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release().partition("-")[0],
        "congestion_control": first("/proc/sys/net/ipv4/tcp_congestion_control"),
    }


def versions(compiler: Sequence[str] = ("cc",)) -> dict[str, str]:
    """Versions of Python, the C compiler and the packages that the figures depend on; "": not there."""
    found = {"python": platform.python_version(), "cc": output(*compiler, "--version").partition("\n")[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


def descriptors() -> int:
    """Descriptors that a process may have: the hard limit, to which every process started here is raised."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


def most_connections() -> int:
    """Connections that one process can hold."""
    return max(0, descriptors() - SPARE)


def require_descriptors(connections: int) -> None:
    """Raise BenchError where a process cannot hold so many connections."""
    if connections <= most_connections():
        return
    raise BenchError(
        f"{connections:,} connections need {connections + SPARE:,} descriptors in a process, and this shell"
        f" allows {descriptors():,}: raise the limit (ulimit -n {connections + SPARE}; it may need root or"
        f" /etc/security/limits.conf), or take at most {most_connections():,}"
    )
