"""Find the largest load that is still within a limit, with as few tries as can be: each costs milliseconds.

Invariant: what is returned was tried and is within, or is 0.
"""

from __future__ import annotations

from collections.abc import Callable

NEAR = 5e-4  # of a rate: two such rates are the same
NOTHING = 1e-7  # of the most: such a rate is none
EDGE = 0.05  # of the bracket that each try cuts off at least
FIRST = 16  # clients to try, then FASTER times as many
FASTER = 4
MOST_CLIENTS = 1 << 24


def largest_rate(excess: Callable[[float], float], most: float) -> float:
    """The largest rate below `most` with an excess of 0 or less; 0 where there is none.

    `excess` grows with the rate, in about a straight line between -1 and 1.
    """
    low = NOTHING * most
    under = excess(low)
    if under > 0.0:
        return 0.0
    return _narrow(excess, low, under, most, 1.0, lambda low, high: high - low <= NEAR * high)


def most_clients(excess: Callable[[int], float]) -> int:
    """The largest number of clients with an excess of 0 or less; 0 where one client is too many."""
    low, under = 1, excess(1)
    if under > 0.0:
        return 0
    high = FIRST
    over = excess(high)
    while over <= 0.0:
        if high >= MOST_CLIENTS:
            return high
        low, under, high = high, over, high * FASTER
        over = excess(high)
    found = _narrow(lambda count: excess(round(count)), low, under, high, over, _neighbours, whole=True)
    return round(found)


def _neighbours(low: float, high: float) -> bool:
    return high - low <= 1.0


def _narrow(
    excess: Callable[[float], float],
    low: float,
    under: float,
    high: float,
    over: float,
    done: Callable[[float, float], bool],
    whole: bool = False,
) -> float:
    """Illinois' variant of the regula falsi; every third try halves, for what is not straight at all."""
    side = tries = 0
    while not done(low, high):
        tries += 1
        share = under / (under - over) if tries % 3 and under < over else 0.5
        middle = low + (high - low) * min(1.0 - EDGE, max(EDGE, share))
        if whole:
            middle = min(high - 1.0, max(low + 1.0, round(middle)))
        found = excess(middle)
        if found <= 0.0:
            low, under = middle, found
            over = over / 2 if side < 0 else over
            side = -1
        else:
            high, over = middle, found
            under = under / 2 if side > 0 else under
            side = 1
    return low
