"""The report: pictures that show something, a page that needs nothing else, and words for what is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from fastchat.bench.failure import BenchError
from fastchat.bench.report import PAGE, PLOTS, Report, draw, report
from fastchat.bench.report_files import load
from fastchat.bench.report_points import Evidence
from fastchat.bench.report_reading import evidence
from fastchat.bench.report_sections import COMMANDS, SECTIONS
from fastchat.bench.report_style import DPI, WIDTH, styled
from tests.bench.report_fixtures import SPEED, capacity, write

SMALL = 60_000  # bytes: a README shows these pictures
UNITS = re.compile(r"message|second|rho|KiB|member|client|per cent|latency")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence(load(write(tmp_path_factory.mktemp("results"))))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = write(tmp_path_factory.mktemp("results"))
    return report(folder, folder / "new" / "report")


@pytest.fixture(scope="module")
def figures(found: Evidence) -> dict[str, Figure]:
    with styled():
        made = {name: plot(found) for name, plot in PLOTS.items()}
        for figure in made.values():
            assert figure is not None
            figure.draw_without_rendering()
    return {name: figure for name, figure in made.items() if figure is not None}


def test_every_section_has_a_plot_and_every_plot_a_section() -> None:
    assert list(PLOTS) != [] and {section.name for section in SECTIONS} == set(PLOTS)
    assert {section.kind for section in SECTIONS} <= set(COMMANDS)


def test_page_and_pictures_are_written(whole: Report) -> None:
    assert [path.name for path in whole.written] == [PAGE, *(f"{section.name}.png" for section in SECTIONS)]
    assert all(path.exists() for path in whole.written)
    assert whole.missing == whole.notices == ()


@pytest.mark.parametrize("name", PLOTS)
def test_a_picture_is_small_and_shows_something(whole: Report, name: str) -> None:
    data = (whole.written[0].parent / f"{name}.png").read_bytes()
    assert len(data) < SMALL
    picture = Image.open(BytesIO(data)).convert("L")
    assert picture.width == WIDTH * DPI
    colours = picture.getcolors()
    assert colours is not None and len(colours) > 8
    assert max(count for count, _ in colours) < 0.99 * picture.width * picture.height


@pytest.mark.parametrize("name", PLOTS)
def test_axes_say_what_they_show_and_in_which_unit(figures: dict[str, Figure], name: str) -> None:
    figure = figures[name]
    assert figure.get_suptitle()
    axes = [axis for axis in figure.axes if axis.axison]
    for axis in axes:
        words = axis.get_xlabel() + axis.get_ylabel()
        ticks = [tick.get_text() for tick in axis.get_xticklabels()]
        assert UNITS.search(words) or any(not text[:1].isdigit() for text in ticks)
    assert any(UNITS.search(axis.get_ylabel()) for axis in axes) or name == "memory"  # its bars have names
    labels = [axis.get_xticklabels()[0].get_fontsize() for axis in axes]
    assert min(labels) >= 9  # points at 100 pixels an inch: 12 pixels


@pytest.mark.parametrize("name", PLOTS)
def test_no_two_words_overlap(figures: dict[str, Figure], name: str) -> None:
    for axis in figures[name].axes:
        words = [text for text in axis.texts if isinstance(text, Annotation)]
        boxes = [(text.get_text(), super(Annotation, text).get_window_extent()) for text in words]
        boxes += [
            (tick.get_text(), tick.get_window_extent()) for tick in axis.get_xticklabels() if tick.get_text()
        ]
        for place, (first, box) in enumerate(boxes):
            for second, other in boxes[place + 1 :]:
                apart = box.x1 <= other.x0 + 1 or other.x1 <= box.x0 + 1
                assert apart or box.y1 <= other.y0 + 2 or other.y1 <= box.y0 + 2, (first, second)


def test_every_server_is_labelled_at_its_line(figures: dict[str, Figure]) -> None:
    for axis in figures["fan-out"].axes:
        labels = " ".join(text.get_text() for text in axis.texts)
        assert all(name in labels for name in SPEED)


def test_series_are_told_apart_without_colours(figures: dict[str, Figure]) -> None:
    lines = figures["fan-out"].axes[0].get_lines()
    shapes = [(line.get_marker(), line.get_markerfacecolor() == "#ffffff") for line in lines]
    shapes = [shape for shape in shapes if shape[0] not in (None, "None", "", "_", "|")]
    assert len(shapes) >= len(SPEED) and len(set(shapes)) == len(shapes)


class References(HTMLParser):
    """Everything that a browser would load, and the tags there are."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_the_page_needs_nothing_else(whole: Report) -> None:
    page = whole.written[0].read_text("utf-8")
    seen = References()
    seen.feed(page)
    assert len([one for one in seen.loaded if one.startswith("data:image/png;base64,")]) == len(SECTIONS)
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in seen.loaded)
    assert not seen.tags & {"script", "link", "iframe", "object", "embed"}
    assert "url(" not in page and "@import" not in page


def test_the_page_says_where_figures_come_from(whole: Report) -> None:
    page = whole.written[0].read_text("utf-8")
    for words in (
        "fastchat bench capacity --servers fastchat,threaded",
        "commit 0123456789ab, 2026-01-02, 2 cores of Imaginary 9000, virtual machine",
        "centrifugo was skipped: not installed",
        "the server died in the middle",
        "prefers-color-scheme: dark",
        "@media print",
    ):
        assert words in page


def test_what_is_missing_is_said_with_the_command_that_measures_it(tmp_path: Path) -> None:
    made = report(write(tmp_path, "connections"), tmp_path / "out")
    assert [path.name for path in made.written] == [PAGE, "memory.png"]
    assert len(made.missing) == len(SECTIONS) - 1
    page = made.written[0].read_text("utf-8")
    for kind in ("capacity", "compare", "overload", "server"):
        assert f"Not measured yet: <code>{COMMANDS[kind]}</code>" in page
    assert "Not measured yet: <code>fastchat bench connections" not in page


def test_an_empty_folder_makes_a_page_that_says_so(tmp_path: Path) -> None:
    made = report(tmp_path, tmp_path / "out")
    assert [path.name for path in made.written] == [PAGE] and len(made.missing) == len(SECTIONS)


def test_a_picture_of_an_earlier_report_does_not_stay(tmp_path: Path) -> None:
    write(tmp_path, "connections")
    report(tmp_path, tmp_path / "out")
    (tmp_path / "connections.json").unlink()
    report(tmp_path, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PAGE]


def test_a_run_that_was_cut_short_is_drawn_as_far_as_it_came(tmp_path: Path) -> None:
    document = capacity()
    document["samples"] = document["samples"][:2]
    document["servers"] = {"fastchat": {"failures": ["calibration: it died"]}}
    (tmp_path / "capacity.json").write_text(json.dumps(document))
    made = report(tmp_path, tmp_path / "out")
    assert {path.stem for path in made.written} == {"index", "throughput", "latency", "utilisation"}
    assert "fastchat: calibration: it died" in made.written[0].read_text("utf-8")


def test_knees_that_were_not_found_are_in_the_table_though_not_in_the_plot(tmp_path: Path) -> None:
    document = capacity()
    for part in document["servers"].values():
        for row in part["points"]:
            row["measured"] |= {"clients": None, "high": None, "end": "cut short"}
            row["error"] = None
    (tmp_path / "capacity.json").write_text(json.dumps(document))
    made = report(tmp_path, tmp_path / "out")
    page = made.written[0].read_text("utf-8")
    assert "knees.png" not in [path.name for path in made.written]
    assert "0 of 24 predictions within 10 % of what was measured, 24 without a knee" in page
    assert "passed; cut short" in page and "has nothing to draw here yet" in page


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"schema": 1}', "\x00"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, "connections")
    (tmp_path / "capacity.json").write_text(text)
    with pytest.raises(BenchError, match=r"capacity\.json: not "):
        report(tmp_path, tmp_path / "out")


def test_no_folder_and_no_place_to_write_are_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nowhere: no such folder"):
        report(tmp_path / "nowhere", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="file/out: "):
        report(tmp_path, tmp_path / "file" / "out")


def test_the_same_results_give_the_same_pictures(found: Evidence, whole: Report) -> None:
    only = Evidence(holdings=found.holdings)
    assert draw(only) == draw(only)


def test_no_pyplot_and_no_display() -> None:
    code = (
        "import sys, fastchat.bench.report\n"
        "print([name for name in ('matplotlib.pyplot', 'tkinter', 'fastchat.server') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
