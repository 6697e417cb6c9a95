"""What a run prints at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

SHOWN = 20  # faults


def report(seen: Mapping[str, int], faults: Sequence[str], seed: int, begun: float) -> int:
    """Print what was looked at and what was wrong; gives the exit code."""
    for what, count in sorted(seen.items()):
        print(f"{count:10,}  {what}")
    for fault in faults[:SHOWN]:
        print(f"WRONG: {fault}")
    verdict = f"FAILED with {len(faults)} faults or more" if faults else "passed"
    print(f"{verdict} in {time.monotonic() - begun:.0f} s, --seed {seed}")
    return 1 if faults else 0
