"""The search for the knee, against servers made of a formula, with noise and hiccups."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from fastchat.bench.knee import Course, End, Knee, Search, Verdict

Attempt = Callable[[int], Verdict]


def server(knee: int, hiccups: float = 0.0, seed: int = 1) -> Attempt:
    """Passes up to `knee` clients; a share of all trials fails for no reason."""
    random = Random(seed)

    def attempt(clients: int) -> Verdict:
        if random.random() < hiccups:
            return Verdict.FAILED
        return Verdict.PASSED if clients <= knee else Verdict.FAILED

    return attempt


def found(attempt: Attempt, course: Course) -> Knee:
    return Search(attempt, course).run()


@pytest.mark.parametrize("start", [3, 50, 400, 999, 1000, 1001, 2500, 18_000])
def test_the_knee_is_found_wherever_the_search_begins(start: int) -> None:
    knee = found(server(1000), Course(start, trials=60))
    assert knee.end is End.BRACKETED and knee.high is not None
    assert knee.low <= 1000 < knee.high
    assert knee.high / knee.low - 1 <= 0.031
    assert knee.clients == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize("seed", range(30))
def test_hiccups_do_not_end_the_search(seed: int) -> None:
    knee = found(server(1000, hiccups=0.1, seed=seed), Course(500, trials=80))
    assert knee.clients == pytest.approx(1000, rel=0.05)


def test_a_false_upper_end_has_to_show_itself_again() -> None:
    """Both trials at 750 meet a hiccup; all that is tried below passes, so 750 is doubted."""
    tried: list[int] = []

    def attempt(clients: int) -> Verdict:
        tried.append(clients)
        if clients == 750 and tried.count(750) <= 2:
            return Verdict.FAILED
        return Verdict.PASSED if clients <= 1000 else Verdict.FAILED

    knee = found(attempt, Course(500))
    assert tried.count(750) > 2
    assert knee.clients == pytest.approx(1000, rel=0.03)


def test_a_false_lower_end_is_taken_back() -> None:
    """750 passes once by luck, and nothing above it does."""
    tried: list[int] = []

    def attempt(clients: int) -> Verdict:
        tried.append(clients)
        lucky = clients == 750 and tried.count(750) == 1
        return Verdict.PASSED if clients <= 600 or lucky else Verdict.FAILED

    knee = found(attempt, Course(500))
    assert knee.clients == pytest.approx(600, rel=0.03)


def test_what_passes_needs_one_trial_and_what_fails_two() -> None:
    tried: list[int] = []
    inner = server(1000)

    def attempt(clients: int) -> Verdict:
        tried.append(clients)
        return inner(clients)

    found(attempt, Course(800, factor=1.5, resolution=0.5))
    assert tried == [800, 1200, 1200]


def test_connections_may_be_what_limits() -> None:
    knee = found(server(40_000), Course(9_000, most=19_000))
    assert knee == Knee(19_000, None, End.LIMITED)
    assert knee.clients is None


def test_a_saturated_generator_is_no_failure_of_the_server() -> None:
    def attempt(clients: int) -> Verdict:
        return Verdict.PASSED if clients <= 700 else Verdict.SATURATED

    knee = found(attempt, Course(500))
    assert knee.end is End.SATURATED and knee.clients is None
    assert knee.low <= 700 < (knee.high or 0)
    assert knee.low > 700 / 1.1


def test_a_server_that_fails_below_the_saturated_generator_is_still_bracketed() -> None:
    def attempt(clients: int) -> Verdict:
        if clients > 900:
            return Verdict.SATURATED
        return Verdict.PASSED if clients <= 700 else Verdict.FAILED

    knee = found(attempt, Course(640))
    assert knee.end is End.BRACKETED
    assert knee.clients == pytest.approx(700, rel=0.03)


def test_a_server_that_carries_nobody_is_said_so() -> None:
    assert found(server(0), Course(100, least=5)) == Knee(0, 5, End.UNREACHED)


def test_a_generator_that_carries_nobody_is_said_so() -> None:
    assert found(lambda clients: Verdict.SATURATED, Course(100)).end is End.SATURATED


def test_the_trials_are_bounded() -> None:
    count = 0

    def attempt(clients: int) -> Verdict:
        nonlocal count
        count += 1
        return Verdict.PASSED if count % 2 else Verdict.FAILED

    knee = found(attempt, Course(100, trials=7, factor=4))
    assert count == 7
    assert knee.end is End.CUT


@pytest.mark.parametrize("trials, end", [(4, End.CUT), (6, End.BRACKETED)])
def test_a_bracket_that_is_narrow_counts_though_the_trials_are_used_up(trials: int, end: End) -> None:
    """500, 750, 1,125 twice leave 50 % between them; 918 and 1,016 twice a fifth."""
    knee = found(server(1000), Course(500, trials=trials))
    assert knee.end is end and knee.low <= 1000 < (knee.high or 0)


def test_what_was_found_survives_a_server_that_dies() -> None:
    def attempt(clients: int) -> Verdict:
        if clients == 750:
            raise ConnectionError("gone")
        return Verdict.PASSED

    search = Search(attempt, Course(500))
    with pytest.raises(ConnectionError):
        search.run()
    assert search.knee() == Knee(500, None, End.CUT)


@pytest.mark.parametrize("knee", [60, 130, 800, 5000])
def test_a_search_costs_about_what_its_course_says(knee: int) -> None:
    count = 0
    inner = server(knee)

    def attempt(clients: int) -> Verdict:
        nonlocal count
        count += 1
        return inner(clients)

    course = Course(knee // 2)
    found(attempt, course)
    assert count <= course.typical() + 4
