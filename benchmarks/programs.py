"""Build the C programs of `reference/`, and start the servers that fastchat is measured against.

Server and generator run on different cores where there are two; whatever is started dies with this process.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from fastchat.bench import processes
from fastchat.bench.failure import BenchError
from fastchat.bench.machine import ROOT
from fastchat.bench.processes import Cores, Place, Running
from fastchat.bench.targets import BUILT_IN, NEVER_REFUSE, SERVE, Target

__all__ = [
    "ALONE", "BUILD", "ROOT", "BenchError", "Cores", "Running", "build", "compiler", "place", "running",
]  # fmt: skip

SOURCES = Path(__file__).resolve().parent / "reference"
BUILD = SOURCES / "build"
CFLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-std=gnu11")

# programs of their own: not functions of pytest-benchmark
ALONE = {"bench_server.py", "bench_presence.py", "bench_store.py", "bench_flood.py"}
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "server": ("server.c",),
    "faults.so": ("faults.c", "-shared", "-fPIC", "-ldl"),
}

NAIVE = ("{python}", "-m", "benchmarks.naive_server", "--port", "{port}")
REFERENCE = (str(BUILD / "server"), "--port", "{port}")
STORE = (*SERVE, "--limits", "off", "--engine", "sqlite", "--data", "{folder}/data")
LIMITED = (*SERVE, "--engine", "memory")
SERVERS: Mapping[str, Target] = {target.name: target for target in BUILT_IN} | {
    "fastchat-sqlite": Target("fastchat-sqlite", STORE, settings=NEVER_REFUSE),
    "fastchat-limited": Target("fastchat-limited", LIMITED, settings=NEVER_REFUSE),
    "naive": Target("naive", NAIVE, coalescing=False),
    "reference": Target("reference", REFERENCE, language="C"),
    "reference-uncoalesced": Target(
        "reference-uncoalesced", (*REFERENCE, "--no-coalesce"), coalescing=False, language="C"
    ),
}


def compiler() -> list[str]:
    """The C compiler: CC, or cc."""
    return shlex.split(os.environ.get("CC", "cc"))


def build() -> None:
    """Compile what is older than its sources. Raises BenchError with the compiler's words."""
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.glob("*.[ch]"))
    for name, parts in PROGRAMS.items():
        target = BUILD / name
        if target.exists() and target.stat().st_mtime > newest:
            continue
        unfinished = BUILD / f"{name}.{os.getpid()}"  # renamed when whole: several may build at once
        try:
            done = subprocess.run(
                [*compiler(), *CFLAGS, "-o", str(unfinished), *parts],
                cwd=SOURCES,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise BenchError(f"no C compiler ({compiler()[0]}): install one, or set CC") from error
        if done.returncode != 0:
            raise BenchError(f"{name} does not compile:\n{done.stderr}")
        unfinished.rename(target)


def place(cores: Cores) -> Place:
    """Those cores, and this process's environment."""
    return Place(cores, os.environ)


def running(
    server: str, cores: Cores, settings: Mapping[str, str] = {}, arguments: Sequence[str] = ()
) -> AbstractContextManager[Running]:
    """A server of SERVERS from when it accepts. Raises BenchError if it does not come up."""
    return processes.running(SERVERS[server], place(cores), settings, arguments)
