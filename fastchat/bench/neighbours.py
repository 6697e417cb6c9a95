"""How much of the machine others use while something is measured.

A figure that was taken while a backup ran says little. What server and generator used is known, what all
cores did is in /proc/stat; the rest is others' work, and what the hypervisor took.
"""

from __future__ import annotations

import os
from pathlib import Path

STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal (proc(5)); idle and iowait are none


def busy() -> float | None:
    """CPU seconds that all cores together have spent on anything; None where nobody tells."""
    try:
        line = STAT.read_text().partition("\n")[0]
        ticks = [int(word) for word in line.split()[1:]]
        return sum(ticks[i] for i in BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def foreign(before: float | None, after: float | None, seconds: float, own: float) -> float | None:
    """Cores that others used between two readings, `own` being what is ours of them; None: not known."""
    if before is None or after is None or seconds <= 0:
        return None
    return max(0.0, (after - before) / seconds - own)
