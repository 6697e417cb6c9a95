"""`fastchat bench connections`: what sessions cost that say little."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from fastchat.bench.connections import FIGURES, SERVERS, bound, figures, hold, seconds, steps
from fastchat.bench.load import attempted, status
from fastchat.bench.machine import require_descriptors
from fastchat.bench.report_numbers import number
from fastchat.bench.targets import choose
from fastchat.cli.bench import stage
from fastchat.cli.bench.numbers import table
from fastchat.cli.bench.progress import clock_time
from fastchat.cli.bench.sample import going

QUICK_STEPS = (100, 1000, 5000)

EPILOG = """\b
Examples:
  fastchat bench connections --quick
  fastchat bench connections --servers fastchat,threaded --sessions 1000,5000
  ulimit -n 100000; fastchat bench connections --sessions 90000

\b
KiB/connection:         resident memory of the server process
kernel KiB/connection:  growth of slab, TCP buffers, kernel stacks and page tables of the whole machine,
                        with both ends of each connection in it

\b
Exit codes: 0 measured and every frame right, 1 wrong or lost frames, 2 wrong use, 3 something could not be
measured (too few descriptors, a server that died), 130 interrupted.
"""


@click.command(epilog=EPILOG)
@click.option("--servers", metavar="LIST", callback=stage.names, help="Of fastchat and the baselines.")
@click.option("--sessions", metavar="LIST", callback=stage.numbers, help="100,1000,5000 and the most, else.")
@click.option("--rounds", type=click.IntRange(1, 100), metavar="N", help="3 by default, 1 with --quick.")
@click.option("--quick", is_flag=True, help="One round up to 5,000 sessions, less than two minutes.")
@stage.JSON
@stage.OUT
def command(
    servers: Sequence[str],
    sessions: Sequence[int],
    rounds: int | None,
    quick: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    """Hold as many sessions as descriptors allow: memory for each, how fast they connect, what they cost.

    Sessions sit in rooms of ten. They connect, rest, then each publishes a message in 100 seconds.
    """
    if sessions:
        require_descriptors(max(sessions))
    here = stage.here()
    targets, skipped = stage.startable(choose(servers or SERVERS, stage.known(None)))
    many = rounds or (1 if quick else 3)
    wanted = sessions or (QUICK_STEPS if quick else ())
    bounds = {target.name: bound(target) for target in targets}
    turns = [(turn, target, count) for turn in range(1, many + 1) for target in targets
             for count in steps(bounds[target.name][0], wanted)]  # fmt: skip
    about: dict[str, Any] = {"quick": quick, "pinned": here.cores.pinned, "rounds": many}
    about["bounds"] = {name: {"most": most, "by": by} for name, (most, by) in bounds.items()}
    complete = not (quick or servers or sessions or rounds)
    kept = stage.record("connections", about, out, complete=complete)
    stage.warn_unkept(kept)
    kept.document.update(servers={target.name: target.facts() for target in targets}, skipped=skipped)
    planned = sum(seconds(count) for _, _, count in turns)
    line = stage.progress(planned)
    line.say(f"servers: {len(targets)}, samples: {len(turns)}; about {clock_time(planned)}")
    for name, (most, by) in bounds.items():
        line.say(f"{name}: at most {most:,} sessions ({by})")
    with stage.interruptible(kept, line) as stopped:
        for turn, target, count in turns:
            line.begin(f"{turn}/{many} {target.name} {count:,}", seconds(count))
            entry = attempted(partial(hold, target, count, here, going(line)))
            kept.add({"round": turn, "server": target.name, "sessions": count, **entry})
            line.end(outcome(entry))
    kept.put(figures=figures(kept.samples))
    click.echo(json.dumps(kept.document) if as_json else text(kept.document))
    click.echo(stage.kept_in(kept), err=True)
    sys.exit(stage.INTERRUPTED if stopped() else status(kept.samples))


def outcome(entry: Mapping[str, Any]) -> str:
    """What a sample showed, in a few words."""
    if entry["failed"]:
        return f"FAILED: {entry['failed']}"
    shown = ("KiB/connection", "kernel KiB/connection", "served s")
    return ", ".join(f"{number(FIGURES[name][1](entry['sample']))} {name}" for name in shown)


def text(document: Mapping[str, Any]) -> str:
    """A row for each server and number of sessions, then what went wrong."""
    medians: dict[tuple[str, int], dict[str, float]] = {}
    for one in document["figures"]:
        medians.setdefault((one["server"], one["sessions"]), {})[one["figure"]] = one["median"]
    rows = [
        (server, f"{sessions:,}", *(number(found[name]) for name in FIGURES))
        for (server, sessions), found in medians.items()
    ]
    lines = table(("server", "sessions", *FIGURES), rows) if rows else []
    for one in document["samples"]:
        if one["failed"]:
            where = f"{one['server']}, {one['sessions']:,} sessions, round {one['round']}"
            lines.append(f"FAILED {where}: {one['failed']}")
    return "\n".join(lines)
