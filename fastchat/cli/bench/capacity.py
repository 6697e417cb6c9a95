"""`fastchat bench capacity`: predict the largest load, then measure it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from fastchat.bench.campaign import Campaign
from fastchat.bench.grid import CURVES, GRID, LIMIT_MS, MOST_CLIENTS, QUICK_CURVES, Point, choose
from fastchat.bench.grid import QUICK as QUICK_POINTS
from fastchat.bench.knee import Verdict
from fastchat.bench.logbook import Logbook
from fastchat.bench.machine import most_connections
from fastchat.bench.overload import Lengths, Overload, beyond
from fastchat.bench.pace import FULL, QUICK, Pace
from fastchat.bench.processes import Place
from fastchat.bench.results import Record
from fastchat.bench.rig import Rig, admission, is_fastchat, standing
from fastchat.bench.targets import BUILT_IN, Target
from fastchat.bench.targets import choose as choose_targets
from fastchat.cli.bench import prediction, stage
from fastchat.cli.bench.progress import clock_time

DEFAULT = "fastchat"
KEPT = {"fastchat", "threaded"}  # what a run must have measured to go into bench_results/
WRONG, NOT_MEASURED = 1, 3
FAULTS = ("corrupt", "duplicate", "order")  # never right, however overloaded a server is

EPILOG = """\b
Examples:
  fastchat bench capacity --quick
  fastchat bench capacity --servers fastchat,threaded
  fastchat bench capacity --points 'room-*,teams-5-r10-100B' --limit-ms 50
  fastchat bench capacity --overload

\b
predicted: the largest C with r x C <= N, where N is what the model says can be processed within the limit.
           Its coefficients come from light loads on other teams and payloads than those measured here; they
           go on between the trials, and what they cost meanwhile is in the prediction (drift), no trial is
measured:  the largest C at which 99 % of the offered load arrives and p99 is within the limit, as a bracket.
           A number of clients is given up only when two of three trials fail
rho:       r x C / N at the measured knee, 1 where the model is right

\b
Exit codes: 0 measured and every frame right, 1 wrong frames, or lost ones under a load that was carried,
2 wrong use, 3 something could not be measured (said by name; the rest was), 130 interrupted.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--servers",
    "--server",
    "servers",
    metavar="LIST",
    callback=stage.names,
    help="fastchat by default; fastchat-ws, threaded, streams.",
)
@click.option(
    "--points",
    metavar="LIST",
    callback=stage.names,
    help="Only these of the grid, as names or patterns: 'room-*', 'teams-5-r10-100B'.",
)
@click.option(
    "--limit-ms",
    type=click.FloatRange(1, 10_000),
    metavar="MS",
    default=LIMIT_MS,
    show_default=True,
    help="What 99 % of deliveries must stay within.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Rounds of the calibration before the knees: 2 by default, 1 with --quick.",
)
@click.option("--quick", is_flag=True, help="A few points and short trials, less than two minutes.")
@click.option(
    "--curves/--no-curves",
    default=True,
    show_default=True,
    help="Sweep the load from a fifth of N to beyond it at some points, for the report.",
)
@click.option(
    "--overload",
    is_flag=True,
    help="Instead: what happens at twice N, with admission and without; fastchat only.",
)
@stage.JSON
@stage.OUT
def command(
    servers: Sequence[str], points: Sequence[str], limit_ms: float, rounds: int | None, quick: bool,
    curves: bool, overload: bool, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Predict how many clients a server carries, then measure it, for a grid of rates, payloads and rooms."""
    here = stage.here()
    targets, _ = stage.startable(choose_targets(servers or (DEFAULT,), BUILT_IN))
    pace = QUICK if quick else FULL
    pace = replace(pace, rounds=rounds) if rounds else pace
    about = {
        "quick": quick,
        "pinned": here.cores.pinned,
        "limit_ms": limit_ms,
        "rounds": pace.rounds,
        "seconds": pace.seconds,
        "warmup": pace.warmup,
        "resolution": pace.resolution,
        "spin": here.cores.pinned,
        "admission": overload,
        "most_clients": min(MOST_CLIENTS, most_connections()),
        "points": [],
    }
    usual = not (quick or points or rounds or servers or limit_ms != LIMIT_MS)
    if overload:
        if points or not all(map(is_fastchat, targets)):
            raise click.UsageError("--overload has its own loads, and only fastchat knows admission")
        about |= {"seconds": beyond(quick).seconds, "warmup": beyond(quick).warmup}
        kept = stage.record("overload", about, out, complete=usual)
        stage.warn_unkept(kept)
        stopped = overloaded(targets, kept, here, pace, beyond(quick), limit_ms / 1e3)
    else:
        where = choose(points, QUICK_POINTS if quick else GRID)
        sweeps = () if points or not curves else QUICK_CURVES if quick else CURVES
        about["points"] = [point.name for point in where]
        usual = not (quick or points or rounds or limit_ms != LIMIT_MS or not curves)
        kept = stage.record("capacity", about, out, complete=usual and KEPT <= {one.name for one in targets})
        stage.warn_unkept(kept)
        stopped = measured(targets, kept, here, pace, where, sweeps, limit_ms / 1e3)
    click.echo(json.dumps(kept.document) if as_json else prediction.text(kept.document))
    click.echo(stage.kept_in(kept), err=True)
    sys.exit(stage.INTERRUPTED if stopped else status(kept.document))


def measured(
    targets: Sequence[Target], kept: Record, here: Place, pace: Pace, where: Sequence[Point],
    sweeps: Sequence[Point], limit: float,
) -> bool:  # fmt: skip
    """The grid, server by server; True: Ctrl-C ended it."""
    planned = sum(pace.total(target.coalescing, where, sweeps) for target in targets)
    line = stage.progress(planned)
    many = f"{counted(len(targets), 'server')}, {counted(len(where), 'point')}"
    line.say(f"{many}: about {clock_time(planned)}")
    with stage.interruptible(kept, line) as stopped:
        for target in targets:
            log = Logbook(target.name, kept, line)
            free = admission(target, False, limit)  # it would refuse the load whose limit is looked for
            opened = partial(standing, target, here, free)
            Campaign(log, opened, target.coalescing, pace, limit, where, sweeps).run()
    return stopped()


def overloaded(
    targets: Sequence[Target], kept: Record, here: Place, pace: Pace, lengths: Lengths, limit: float
) -> bool:
    """Twice N, server by server; True: Ctrl-C ended it."""
    planned = sum(pace.total(target.coalescing, (), ()) + lengths.total() for target in targets)
    line = stage.progress(planned)
    line.say(f"{counted(len(targets), 'server')} at twice the load: about {clock_time(planned)}")
    with stage.interruptible(kept, line) as stopped:
        for target in targets:
            log = Logbook(target.name, kept, line)
            opened = partial(shedding, target, here, limit)
            fitted = Campaign(log, partial(opened, False), target.coalescing, pace, limit, ()).calibrate()
            if fitted is not None:
                Overload(log, opened, fitted.model, limit, lengths).run()
    return stopped()


def shedding(target: Target, here: Place, limit: float, on: bool) -> AbstractContextManager[Rig]:
    """A server with admission or without."""
    return standing(target, here, admission(target, on, limit))


def counted(many: int, what: str) -> str:
    return f"{many} {what}{'' if many == 1 else 's'}"


def faulty(sample: Mapping[str, Any]) -> bool:
    """Whether frames were wrong. Beyond the knee members are cut off, and lost is only what they miss."""
    carried = sample["kind"] == "calibration" or sample["verdict"] == Verdict.PASSED.value
    errors = sample["raw"]["errors"]
    return any(errors.get(kind, 0) for kind in (*FAULTS, *(("lost",) if carried else ())))


def status(document: Mapping[str, Any]) -> int:
    """The exit code, as documented."""
    if any(map(faulty, document["samples"])):
        return WRONG
    servers: Mapping[str, Any] = document.get("servers", {})
    missing = not servers or any(one["failures"] for one in servers.values())
    return NOT_MEASURED if missing else 0
