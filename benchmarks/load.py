"""Run the C load generator against a server and read what it reports.

A `Sample` is the generator's last JSON object with the server's resident memory at three moments: before
anybody connected, when everybody was there, and after the load.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from typing import IO, Any, TypeAlias

from benchmarks.programs import BUILD, BenchError, Cores, Running, prepare

Sample: TypeAlias = dict[str, Any]
Options: TypeAlias = Mapping[str, str | int | float]

SETTLE = 0.3  # seconds of rest before the load, so that connecting is over for the server too


def arguments(options: Options) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def read_line(output: IO[str]) -> Sample | None:
    line = output.readline()
    return json.loads(line) if line else None


def drive(server: Running, cores: Cores, options: Options, settle: float = SETTLE) -> Sample:
    """Connect, rest, load, check. Raises BenchError when it could not be measured (not when it was wrong)."""
    before = server.resident()
    process = subprocess.Popen(
        [str(BUILD / "loadgen"), "--port", str(server.port), "--server", str(server.pid), "--hold", "1",
         *arguments(options)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: prepare(cores.generator),
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    try:
        ready = read_line(process.stdout)
        if ready is not None:
            time.sleep(settle)
            connected = server.resident()
            process.stdin.write("\n")
            process.stdin.flush()
        done = read_line(process.stdout) if ready is not None else None
        after = server.resident() if done is not None else 0
        if done is None:
            raise BenchError(f"{process.stderr.read().strip()}\n{server.name} said: {server.words().strip()}")
        process.wait(10)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    if server.process.poll() is not None:
        raise BenchError(f"{server.name} died under the load:\n{server.words().strip()}")
    memory = {"before": before, "connected": connected, "after": after}
    return done | {"resident": memory, "options": dict(options), "load_average": os.getloadavg()[0]}
