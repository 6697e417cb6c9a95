"""What all plots share: looks that differ in grey, labels that do not touch, settings that do not leak."""

from __future__ import annotations

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.bench.report_style import LOOKS, OURS, figure, look, people, png, spread, styled


def brightness(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_looks_differ_in_marker_and_line() -> None:
    assert len({one.marker for one in LOOKS}) == len({str(one.line) for one in LOOKS}) == len(LOOKS)
    assert all(brightness(one.colour) < 175 for one in LOOKS)  # all can be seen on white


def test_a_server_of_our_own_looks_the_same_in_every_plot() -> None:
    assert look("fastchat", ["a", "fastchat"]) == look("fastchat", ["fastchat", "z"]) == LOOKS[0]


def test_sixteen_series_have_sixteen_looks() -> None:
    names = [*OURS, *(f"peer {number}" for number in range(12))]
    looks = [look(name, names) for name in names]
    assert len({(one.marker, one.hollow) for one in looks}) == 16
    assert {one.face for one in looks if one.hollow} == {"#ffffff"}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_labels_stay_apart_in_order_and_within(wanted: list[float]) -> None:
    places = spread(wanted, 4.0, 0.0, 100.0)
    ordered = sorted(places)
    assert all(second - first >= 4.0 - 1e-6 for first, second in zip(ordered, ordered[1:], strict=False))
    assert ordered[0] >= -1e-9 and ordered[-1] <= 100 + 1e-6
    pairs = sorted(zip(wanted, places, strict=True))
    assert [place for _, place in pairs] == sorted(places)


def test_labels_with_room_stay_where_they_belong() -> None:
    assert spread([50.0, 10.0, 90.0], 5.0, 0.0, 100.0) == pytest.approx([50.0, 10.0, 90.0])
    assert spread([50.0, 50.0], 10.0, 0.0, 100.0) == pytest.approx([45.0, 55.0])
    assert spread([99.0, 100.0], 10.0, 0.0, 100.0) == pytest.approx([90.0, 100.0])


def test_settings_stay_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    with styled():
        assert matplotlib.rcParams["axes.grid"] is True
    assert dict(matplotlib.rcParams) == before


def test_a_picture_is_a_png_of_the_right_width() -> None:
    with styled():
        made, (axis,) = figure(2.0)
        axis.plot([1, 1000], [1, 1000])
        axis.set_xscale("log")
        people(axis, "x")
        data = png(made)
    assert data.startswith(b"\x89PNG") and int.from_bytes(data[16:20], "big") == 900
    assert "1 k" in [label.get_text() for label in axis.get_xticklabels()]
