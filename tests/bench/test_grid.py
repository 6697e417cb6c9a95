"""The grid's points, and that none of them is one that the model is fitted on."""

from __future__ import annotations

import pytest

from fastchat.bench.failure import BenchError
from fastchat.bench.grid import CURVES, GRID, MOST_CLIENTS, QUICK, QUICK_CURVES, Point, choose, within_reach
from fastchat.bench.light import lights


def test_there_are_24_points() -> None:
    assert len(set(GRID)) == 24
    assert {point.rate for point in GRID} == {2, 5, 10}
    assert {point.payload for point in GRID} == {100, 1000}
    assert {point.rooms for point in GRID} == {"room", "teams-5", "teams-50", "mixed"}


@pytest.mark.parametrize("coalescing", [True, False])
@pytest.mark.parametrize("few", [True, False])
def test_no_point_is_one_that_the_model_is_fitted_on(coalescing: bool, few: bool) -> None:
    """Neither payloads nor teams meet; and one large room differs in its payload already."""
    loads = lights(coalescing, few)
    assert not {light.payload for light in loads} & {point.payload for point in GRID}
    teams = {group.members for light in loads for group in light.shape if group.rooms > 1}
    tested = {group.members for point in GRID for group in point.shape(1000) if group.rooms > 1}
    assert not teams & tested


def test_the_quick_points_and_the_curves_are_of_the_grid() -> None:
    assert set(QUICK) | set(CURVES) | set(QUICK_CURVES) <= set(GRID)


def test_points_are_chosen_by_name_and_pattern() -> None:
    assert choose(["teams-5-r10-100B"]) == (Point("teams-5", 10.0, 100),)
    assert {point.rooms for point in choose(["room-*"])} == {"room"}
    assert len(choose(["*-1000B", "mixed-*"])) == 12 + 3
    assert choose([], QUICK) == QUICK


def test_a_name_that_fits_nothing_is_said() -> None:
    with pytest.raises(BenchError, match="rooms-\\*: no such point.*teams-5-r2-100B"):
        choose(["rooms-*"])


def test_a_point_beyond_the_descriptors_gets_a_higher_rate() -> None:
    points = choose(["teams-5-*-100B"])
    chosen = within_reach(points, lambda point: 60_000 / point.rate)
    assert [one.rate for one in chosen.values()] == [4.0, 5.0, 10.0]
    assert 60_000 / 4.0 * 1.15 <= MOST_CLIENTS


def test_two_points_never_become_the_same() -> None:
    points = choose(["teams-5-*-100B"])
    chosen = within_reach(points, lambda point: 150_000 / point.rate)
    assert sorted(one.rate for one in chosen.values()) == [10.0, 12.0, 15.0]


def test_a_point_without_a_way_out_stays_as_it_is() -> None:
    points = choose(["room-r2-100B"])
    assert within_reach(points, lambda point: 1e9) == {points[0]: points[0]}


def test_a_points_rooms_hold_its_clients() -> None:
    for point in GRID:
        assert sum(group.rooms * group.members for group in point.shape(1234)) == 1234
