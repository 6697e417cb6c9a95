"""The load generator as a process of its own: parent side, and what the child does.

The child reads a plan as one line of JSON from its input, connects, says `ready`, goes on serving its
clients until a second line tells it to begin, and says `done` with the whole sample. Each event is a line of
JSON on its output. Its parent waits with a deadline for each of them and ends it in any case.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from fastchat.bench.dialects import Script, upgrade
from fastchat.bench.failure import BenchError
from fastchat.bench.machine import ROOT
from fastchat.bench.peer_dialects import PEERS
from fastchat.bench.plan import OWN, Plan
from fastchat.bench._swarm import Swarm, die_with_parent

Event: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[Mapping[str, Any]], None]

GRACE = 20.0  # seconds beyond the plan's own deadlines
REST = 0.05  # seconds between two looks for the word to begin
SPARE = 32  # descriptors that a generator needs besides its clients
ENDING = 5.0  # seconds that a child may take to end after its last event


class Generator:
    """One load of one plan: `connect()`, `run()`. A context manager; its process ends with the block."""

    def __init__(self, plan: Plan, core: int | None = None) -> None:
        """`core`: where it is to run, away from the server's; None: anywhere."""
        self.plan = plan
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastchat.bench.generator"],
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


def script_of(plan: Plan) -> Script | None:
    """How to speak; None: the wire's own way. Raises BenchError for an unknown dialect."""
    if plan.dialect == OWN:
        if plan.wire == "tcp":
            return None
        return Script((upgrade("/ws", plan.port, "fastchat.v1.msgpack"),), websocket=True)
    if plan.dialect not in PEERS:
        raise BenchError(f"no dialect {plan.dialect!r}; there are {', '.join((OWN, *PEERS))}")
    script = PEERS[plan.dialect](plan.room, plan.port, plan.payload)
    if script.one_publisher and plan.speakers != 1:
        raise BenchError(f"{plan.dialect} keeps no common order of several publishers: publishers must be 1")
    return script


def open_descriptors(clients: int) -> None:
    """Raise the limit of open files to the hard one. Raises BenchError if that is too small."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = clients + SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(
            f"{clients:,} clients need {needed:,} file descriptors, and the limit is {hard:,}:"
            f" raise it with `ulimit -n {needed}` (as root), or ask for fewer clients"
        )


def drive(lines: int, tell: Callable[[Event], None]) -> None:
    """The child: read a plan from the descriptor `lines`, do what it says, tell what happens."""
    with os.fdopen(lines, "rb", buffering=0, closefd=False) as source:
        values = json.loads(source.readline())
    core = values.pop("core", None)
    if core is not None:
        os.sched_setaffinity(0, {core})
    plan = Plan.from_json(values)
    open_descriptors(plan.clients)
    swarm = Swarm(plan, script_of(plan))
    tell({"event": "ready", **swarm.connect(tell)})
    while not select.select([lines], [], [], 0)[0]:
        swarm.rest(REST)
    if not os.read(lines, 4096):
        return  # nobody wants it any more
    tell({"event": "done", **swarm.run(tell)})


def write(event: Event) -> None:
    """One line on standard output, whole."""
    line = json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(1, line) :]


def main() -> None:
    """Entry of the child process."""
    die_with_parent()
    try:
        drive(0, write)
    except BenchError as error:
        write({"event": "failed", "text": str(error)})
    except (BrokenPipeError, KeyboardInterrupt):
        return


if __name__ == "__main__":
    main()
