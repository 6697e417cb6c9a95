"""`fastchat bench load`: one load on one server."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fastchat.bench.failure import BenchError
from fastchat.bench.load import Died, Sample, carried, measure, wrong
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Place, Running, attached, running
from fastchat.bench.targets import Target, choose
from fastchat.capacity import SHAPES, Group
from fastchat.cli.bench import sample as page
from fastchat.cli.bench import stage
from fastchat.cli.bench.progress import Progress
from fastchat.cli.failure import Failure

WRONG, NOT_CARRIED = 1, 4

EPILOG = """\b
Examples:
  fastchat bench load
  fastchat bench load --clients 1000 --per-client 2 --room-size 50
  fastchat bench load --shape mixed --clients 2000 --per-client 5 --limit-ms 20
  fastchat bench load --mode flood --clients 1000 --server threaded
  fastchat bench load --port 9999 --rate 200 --seconds 30 --json

\b
offered:   messages a second that the clients wanted to send, r x C
achieved:  those that arrived at every member
latency:   from the moment a message was due, not from when it was sent
behind:    the generator could not send on time; then it, not the server, was the limit

\b
Exit codes: 0 measured and every frame right, 1 wrong or lost frames, 2 wrong use, 3 could not be measured
or the server died, 4 not carried within --limit-ms, 130 interrupted.
"""


@click.command(epilog=EPILOG)
@click.option("--clients", type=click.IntRange(1), metavar="C", default=100, show_default=True)
@click.option(
    "--per-client",
    type=click.FloatRange(0, min_open=True),
    metavar="r",
    help="Messages a second of each client; 1 by default.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Messages a second of all together, instead of --per-client.",
)
@click.option("--rooms", type=click.IntRange(1), metavar="R", help="As many rooms of equal size.")
@click.option("--room-size", type=click.IntRange(1), metavar="M", help="Rooms of so many; else one for all.")
@click.option("--shape", type=click.Choice(list(SHAPES)), help="Rooms as people have them.")
@click.option(
    "--mode",
    type=click.Choice(("paced", "flood", "pings")),
    default="paced",
    show_default=True,
    help="paced: at the rate; flood: as fast as it goes; pings: requests without fan-out.",
)
@click.option(
    "--window", type=click.IntRange(1, 1024), default=64, show_default=True, help="flood: messages under way."
)
@click.option(
    "--schedule",
    type=click.Choice(("poisson", "fixed", "phased")),
    default="poisson",
    show_default=True,
    help="When messages are due.",
)
@click.option("--payload", type=click.IntRange(32, 16000), metavar="BYTES", default=100, show_default=True)
@click.option("--wire", type=click.Choice(("tcp", "ws")), help="tcp by default, or what --server speaks.")
@click.option(
    "--server",
    "server",
    metavar="NAME",
    default="fastchat",
    show_default=True,
    help="Start this one: fastchat, fastchat-ws, threaded, streams, or a peer.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Measure the server that runs on 127.0.0.1:N instead.",
)
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True)
@click.option("--warmup", type=click.FloatRange(0, 60), default=1.0, show_default=True, metavar="SECONDS")
@click.option(
    "--limit-ms",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="Fail (4) unless 99 % of deliveries are within it and 99 % of the offered load arrives.",
)
@stage.PEERS_FILE
@stage.JSON
@stage.OUT
def command(
    server: str,
    port: int | None,
    wire: str | None,
    limit_ms: float | None,
    peers: Path | None,
    as_json: bool,
    out: Path | None,
    **load: Any,
) -> None:
    """Put one load on a server and see what it does: throughput, latency, CPU, errors.

    The server is started for this, or is one that runs on this machine (--port). The generator is a process
    of its own; it sends on schedule whatever the server does, so a slow server shows as latency.
    """
    plan = planned(**load)
    target = chosen(server, peers, wire)
    here = stage.here()
    kept = stage.record(
        "load",
        {"limit_ms": limit_ms, "pinned": here.cores.pinned},
        out,
        complete=False,
        peers=stage.versions([target]),
    )
    line = stage.progress(plan.warmup + plan.seconds)
    found: Sample | None = None
    failure = ""
    with stage.interruptible(kept, line) as stopped:
        try:
            with nullcontext(attached(port)) if port else running(target, here) as instance:
                found = measured(instance, target, plan, here, line)
        except Died as died:
            found, failure = died.sample, str(died)
        except BenchError as error:
            failure = str(error)
    if found is not None:
        kept.add(found)
        click.echo(json.dumps(kept.document) if as_json else page.text(found, limit_ms))
        if out:
            click.echo(stage.kept_in(kept), err=True)
    if failure:
        raise Failure.of(BenchError(failure))
    sys.exit(status(found, limit_ms, stopped()))


def chosen(server: str, peers: Path | None, wire: str | None) -> Target:
    """The server of that name. Raises BenchError if it cannot be started here."""
    (target,) = choose([server], stage.known(peers))
    if reason := target.missing():
        raise BenchError(f"{server}: {reason}")
    if wire in (None, target.wire):
        return target
    if target.name != "fastchat":
        raise click.UsageError(f"--wire {wire}: {server} is measured over {target.wire}")
    return replace(target, wire=wire)


def measured(server: Running, target: Target, plan: Plan, place: Place, line: Progress) -> Sample:
    """The sample, with a line that says how it goes."""
    plan = replace(plan, dialect=target.dialect, wire=target.wire)
    line.begin(target.name, plan.warmup + plan.seconds)
    sample = measure(server, plan, place, listen=page.going(line))
    line.close()
    return sample


def status(sample: Sample | None, limit_ms: float | None, stopped: bool) -> int:
    """The exit code, as documented."""
    if stopped or sample is None:
        return stage.INTERRUPTED
    if wrong(sample):
        return WRONG
    return 0 if limit_ms is None or carried(sample, limit_ms / 1e3) else NOT_CARRIED


def planned(
    *,
    clients: int,
    per_client: float | None,
    rate: float | None,
    rooms: int | None,
    room_size: int | None,
    shape: str | None,
    mode: str,
    **load: Any,
) -> Plan:
    """The load that the options describe. Raises click.UsageError where they contradict each other."""
    if sum(option is not None for option in (rooms, room_size, shape)) > 1:
        raise click.UsageError("one of --rooms, --room-size and --shape says how the clients sit together")
    if rate and per_client:
        raise click.UsageError("--rate is of all clients, --per-client of each: one of them")
    if mode != "paced" and (rate or per_client):
        raise click.UsageError(f"--mode {mode} goes as fast as it can: no --rate or --per-client")
    if rooms and rooms > clients:
        raise click.UsageError(f"--rooms {rooms}: more than there are clients")
    if shape:
        groups = SHAPES[shape](clients)
    else:
        groups = shared(clients, rooms or 1) if room_size is None else seated(clients, room_size)
    total = rate or (per_client or 1.0) * clients
    publishers = 0 if mode == "paced" else 1
    return Plan(groups=groups, mode=mode, rate=total, publishers=publishers, **load)


def seated(clients: int, size: int) -> tuple[Group, ...]:
    """Rooms of `size`, and one smaller for those who are left."""
    full, rest = divmod(clients, size)
    return filled(Group(full, size), Group(1 if rest else 0, rest))


def shared(clients: int, rooms: int) -> tuple[Group, ...]:
    """As many rooms, of equal size or one more."""
    size, more = divmod(clients, rooms)
    return filled(Group(more, size + 1), Group(rooms - more, size))


def filled(*groups: Group) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.rooms and group.members)
