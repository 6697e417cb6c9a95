"""`fastchat bench compare`: the same load for several servers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from fastchat.bench.compare import (
    FULL,
    MEMBERS,
    MODES,
    PACED,
    QUICK,
    Lengths,
    Point,
    Windows,
    figures,
    plan,
    points,
    ratios,
    seconds,
    turns,
)
from fastchat.bench.load import attempted, deliveries_per_cpu_second, latency, sampled, status
from fastchat.bench.report_numbers import number
from fastchat.bench.targets import choose
from fastchat.cli.bench import comparison, stage
from fastchat.cli.bench import sample as page
from fastchat.cli.bench.numbers import milliseconds
from fastchat.cli.bench.progress import clock_time
from fastchat.cli.bench.sample import going

QUICK_MEMBERS = (100, 1000)
QUICK_SECONDS = 90.0  # planned: with many servers, and slow ones, a quick run leaves loads out

EPILOG = """\b
Examples:
  fastchat bench compare --quick
  fastchat bench compare --servers fastchat,threaded --members 1000 --rounds 5
  fastchat bench compare --mode paced --members 100,1000
  fastchat bench compare --out compare.json

\b
flood:  one member publishes with 64 messages under way (16 above 2,000 members, 2 for a server that cannot
        deliver them in time); deliveries per CPU second of its process count, its utilisation does not
paced:  50,000 deliveries a second, which are 5,000, 500, 50 and 10 messages for 10, 100, 1,000 and 5,000
        members; latency and deliveries per CPU second count. A server that cannot carry it is said to
ratios: fastchat / other, each within a round and on the same wire, then median and spread

\b
Exit codes: 0 measured and every frame right, 1 wrong or lost frames, 2 wrong use, 3 a server could not be
measured (said by name; the others were), 130 interrupted.
"""


@click.command(epilog=EPILOG)
@click.option("--servers", metavar="LIST", callback=stage.names, help="Only these, parted by commas.")
@click.option("--members", metavar="LIST", callback=stage.numbers, help="10,100,1000,5000 by default.")
@click.option("--mode", type=click.Choice(MODES), help="Only flat out, or only paced.")
@click.option("--rounds", type=click.IntRange(1, 100), metavar="N", help="5 by default, 1 with --quick.")
@click.option("--payload", type=click.IntRange(32, 16000), metavar="BYTES", default=100, show_default=True)
@click.option("--deliveries", type=click.FloatRange(100, 1e6), metavar="N", default=PACED, show_default=True,
              help="Deliveries a second of a paced load.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A first impression in less than two minutes.")
@stage.PEERS_FILE
@stage.JSON
@stage.OUT
def command(
    servers: Sequence[str],
    members: Sequence[int],
    mode: str | None,
    rounds: int | None,
    payload: int,
    deliveries: float,
    quick: bool,
    peers: Path | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Put the same load on fastchat, the baselines and whatever peers are installed, interleaved.

    Every sample has a fresh server on a core of its own. A server that is not there, fails or dies is named
    and costs its own samples only.
    """
    here = stage.here()
    known = choose(servers, stage.known(peers))
    targets, skipped = stage.startable(known)
    many = rounds or (1 if quick else 5)
    lengths = replace(QUICK if quick else FULL, deliveries=deliveries)
    where = points(members or (QUICK_MEMBERS if quick else MEMBERS), [mode] if mode else MODES)
    if quick and not members:
        where = fitting(where, lengths, len(targets) * many)
    about = {
        "quick": quick,
        "pinned": here.cores.pinned,
        "rounds": many,
        "payload": payload,
        "rates": {str(one.members): lengths.rate(one.members) for one in where if one.mode == "paced"},
        "modes": sorted({point.mode for point in where}),
        "members": sorted({point.members for point in where}),
    }
    complete = not (quick or servers or members or mode or rounds or payload != 100 or deliveries != PACED)
    kept = stage.record("compare", about, out, complete=complete, peers=stage.versions(targets))
    stage.warn_unkept(kept)
    kept.document.update(servers={target.name: target.facts() for target in targets}, skipped=skipped)
    planned = sum(seconds(point, lengths) for _, point, _ in turns(targets, where, many))
    line = stage.progress(planned)
    line.say(f"servers: {len(targets)}, loads: {len(where)}, rounds: {many}; about {clock_time(planned)}")
    windows = Windows()
    with stage.interruptible(kept, line) as stopped:
        for turn, point, target in turns(targets, where, many):
            line.begin(f"{turn}/{many} {point.members:,} {point.mode} {target.name}", seconds(point, lengths))
            load = windows.suit(target.name, point, plan(point, lengths, payload, seed=turn))
            entry = attempted(partial(sampled, target, load, here, listen=going(line)))
            if windows.learn(target.name, point, entry):
                line.say(f"{target.name} did not deliver {load.window} messages in time: again with fewer")
                load = windows.suit(target.name, point, load)
                entry = attempted(partial(sampled, target, load, here, listen=going(line)))
            kept.add({"round": turn, **point._asdict(), "server": target.name, **entry})
            line.end(outcome(entry))
    kept.put(
        figures=figures(kept.samples, where, [target.name for target in targets]),
        ratios=ratios(kept.samples, where, targets),
    )
    click.echo(json.dumps(kept.document) if as_json else comparison.text(kept.document))
    click.echo(stage.kept_in(kept), err=True)
    sys.exit(stage.INTERRUPTED if stopped() else status(kept.samples))


def fitting(where: Sequence[Point], lengths: Lengths, samples: int) -> tuple[Point, ...]:
    """As many points, from the last, as fit into a quick run with so many samples of each; at least one."""
    kept: list[Point] = []
    left = QUICK_SECONDS
    for point in reversed(where):
        cost = samples * seconds(point, lengths)
        if cost <= left or not kept:
            kept.insert(0, point)
            left -= cost
    return tuple(kept)


def outcome(entry: Mapping[str, Any]) -> str:
    """What a sample showed, in a few words."""
    if entry["failed"]:
        return f"FAILED: {entry['failed']}"
    sample = entry["sample"]
    rate = f"{number(deliveries_per_cpu_second(sample))} deliveries per CPU second"
    return f"{rate}, p99 {milliseconds(latency(sample, 'p99'))}{page.doubts(sample)}"
