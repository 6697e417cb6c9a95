"""`fastchat bench COMMAND`: the laboratory. Every command's module is imported when it is used."""

from __future__ import annotations

from fastchat.cli.group import LazyGroup

SUMMARIES = {
    "load": "Put one load on a server and see what it does.",
    "capacity": "Predict the largest load, then measure it.",
    "compare": "The same load for fastchat, the baselines and the peers.",
    "connections": "Memory and time that sessions cost, up to the limit.",
    "report": "Plots and a page of what was measured.",
}

HELP = """Measure how much a server can carry, and compare it with others.

The load model in one sentence: a server is not overloaded while N >= r x C, where C clients send r requests
a second each and N is the number of requests per second that it can process within the latency you accept.

Every server runs in a process of its own on this machine, the load generator in another, each pinned to a
core where there are two. The generator checks every frame it receives and says when it was itself the limit.
"""

EPILOG = """\b
Examples:
  fastchat bench load --clients 1000 --per-client 2
  fastchat bench load --rate 5000 --clients 200 --room-size 5 --wire ws
  fastchat bench capacity --quick
  fastchat bench compare --quick
  fastchat bench connections --quick
  fastchat bench report

\b
Results: --out FILE; a full run in a working tree is kept in bench_results/. Each sample is written when
it was taken, so that Ctrl-C or a server that dies costs only what was not measured yet.

\b
Exit codes: 0 measured and every frame right, 1 wrong or lost frames, 2 wrong use, 3 something could not
be measured, 130 interrupted.
"""

command = LazyGroup("bench", package=__name__, summaries=SUMMARIES, help=HELP, epilog=EPILOG)
