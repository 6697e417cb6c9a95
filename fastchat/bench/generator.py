"""The load generator as a process of its own, seen from its parent; `driver` is what it does.

Invariant: every wait has a deadline, and the process ends with the block, whatever happens.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from fastchat.bench.failure import BenchError
from fastchat.bench.machine import ROOT
from fastchat.bench.plan import Plan

Event: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[Mapping[str, Any]], None]

GRACE = 20.0  # seconds beyond the plan's own deadlines
ENDING = 5.0  # seconds that a child may take to end after its last event


class Generator:
    """One load of one plan: `connect()`, `run()`. A context manager; its process ends with the block."""

    def __init__(self, plan: Plan, core: int | None = None) -> None:
        """`core`: where it is to run, away from the server's; None: anywhere. Raises BenchError."""
        if importlib.util.find_spec("fastchat.bench._swarm") is None:
            raise BenchError(
                "the load generator is not built: it needs a C compiler and"
                " `python setup.py build_ext --inplace`, or `pip install .` with FASTCHAT_REQUIRE_EXT=1"
            )
        self.plan = plan
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastchat.bench.driver"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, bufsize=0,
        )  # fmt: skip
        try:
            self._tell(plan.to_json() | {"core": core})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self, progress: Listener | None = None) -> Event:
        """Bring all clients in. Returns `ready`: members, refused_connections, connect_seconds.

        Raises BenchError when they do not all come in, but for those that admission refuses (101) when the
        plan says so.
        """
        return self._await("ready", self.plan.timeout + GRACE, progress)

    def run(self, progress: Listener | None = None) -> Event:
        """Begin the load and return the sample. Raises BenchError when there is none."""
        self._tell({"begin": True})
        return self._await("done", self.plan.longest + GRACE, progress)

    def close(self) -> None:
        """End the process, if it has not ended by itself."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _tell(self, words: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
        except BrokenPipeError as error:
            raise BenchError(self._ended()) from error

    def _await(self, name: str, seconds: float, progress: Listener | None) -> Event:
        deadline = time.monotonic() + seconds
        while True:
            event = self._event(deadline, name)
            kind = event.pop("event")
            if kind == name:
                return event
            if kind == "failed":
                raise BenchError(event["text"])
            if progress is not None:
                progress({"event": kind, **event})

    def _event(self, deadline: float, name: str) -> Event:
        """The next line. Raises BenchError at the deadline, or when the process has ended."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BenchError(f"the load generator did not say {name!r} in time and was ended")
            chunk = os.read(output, 1 << 16)
            if not chunk:
                raise BenchError(self._ended())
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        event: Event = json.loads(line)
        return event

    def _ended(self) -> str:
        try:
            _, said = self._process.communicate(timeout=ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        words = said.decode("utf-8", "replace").strip()
        return f"the load generator ended with {self._process.returncode}: {words[-2000:]}"
