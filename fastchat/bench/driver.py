"""What the load generator's process does.

It reads a plan as one line of JSON from its input, connects, says `ready`, goes on serving its clients until
a second line tells it to begin, and says `done` with the whole sample. Each event (`connecting`, `ready`,
`progress`, `done`, `failed`) is a line of JSON on its output.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
from collections.abc import Callable
from typing import Any, TypeAlias

from fastchat.bench._swarm import Swarm, die_with_parent
from fastchat.bench.dialects import Script, upgrade
from fastchat.bench.failure import BenchError
from fastchat.bench.peer_dialects import PEERS
from fastchat.bench.plan import OWN, Plan
from fastchat.transports.caps import raise_descriptor_limit

Event: TypeAlias = dict[str, Any]

REST = 0.05  # seconds of serving between two looks for the word to begin
PAUSE = 0.001  # seconds of such a look, so that it costs little when nobody is left to serve
SPARE = 32  # descriptors that a generator needs besides its clients


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
    limit, needed = raise_descriptor_limit(), clients + SPARE
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise BenchError(
            f"{clients:,} clients need {needed:,} file descriptors, and the limit is {limit:,}:"
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
    while not select.select([lines], [], [], PAUSE)[0]:
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
    """Entry of the process. Ctrl-C is its parent's business."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        drive(0, write)
    except BenchError as error:
        write({"event": "failed", "text": str(error)})
    except BrokenPipeError:
        return  # the parent is gone


if __name__ == "__main__":
    main()
