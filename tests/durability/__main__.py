"""Kill a server again and again while people publish: `python -m tests.durability --kills 100`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.durability.kills import Kills
from tests.durability.ledger import Ledger
from tests.durability.report import report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--publishes", type=int, default=10_000)
    parser.add_argument("--durability", choices=("process", "power"), default="process")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args(arguments)
    begun = time.monotonic()

    async def run(data: Path) -> Ledger:
        kills = Kills(
            data, kills=options.kills, publishes=options.publishes, seed=options.seed,
            durability=options.durability,
        )  # fmt: skip
        await kills.run()
        return kills.ledger

    with tempfile.TemporaryDirectory(prefix="fastchat-durability-") as folder:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ledger = runner.run(run(Path(folder) / "data"))
    return report(ledger.seen, ledger.faults, options.seed, begun)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
