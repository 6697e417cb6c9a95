"""The progress of a long run: a line on a terminal, plain lines otherwise, and the time that is left."""

from __future__ import annotations

import io

import pytest

from fastchat.bench.report_numbers import number
from fastchat.cli.bench.numbers import milliseconds, share, table
from fastchat.cli.bench.progress import CLEAR, Progress, clock_time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_learns_from_the_steps_that_are_over() -> None:
    clock = Clock()
    progress = Progress(io.StringIO(), 40.0, clock=clock)
    assert progress.left() == 40
    progress.begin("one", 10)
    clock.now = 4
    assert progress.left() == 36
    clock.now = 20  # twice as long as estimated
    progress.end("done")
    assert progress.left() == 60
    progress.begin("two", 30)
    clock.now = 30
    assert progress.left() == 40
    clock.now = 99
    assert progress.left() == 0


def test_what_is_added_is_left_and_what_is_taken_away_is_not() -> None:
    clock = Clock()
    progress = Progress(io.StringIO(), 10.0, clock=clock)
    progress.add(5)
    assert progress.left() == 15
    progress.add(-100)
    assert progress.left() == 0


def test_without_a_terminal_there_is_a_line_for_each_step() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, 20.0, clock=clock)
    progress.begin("first", 10)
    progress.live("half way")
    clock.now = 10
    progress.end("fine")
    progress.begin("second", 10)
    clock.now = 20
    progress.end("fine too")
    progress.close()
    assert stream.getvalue() == "first  fine  (10.0 s, 10 s left)\nsecond  fine too  (10.0 s)\n"


def test_on_a_terminal_the_line_is_written_anew_and_never_too_long() -> None:
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, 100.0, columns=60, clock=clock)
    progress.begin("load", 50)
    clock.now = 25
    progress.live("x" * 200)
    drawn = stream.getvalue().split(CLEAR)[-1]
    assert drawn.startswith("[###.........]  25% 75 s left  load  xxx") and len(drawn) == 59
    progress.live("too soon")
    assert "too soon" not in stream.getvalue()
    progress.say("a remark")
    assert stream.getvalue().endswith(f"{CLEAR}a remark\n")
    progress.close()
    assert stream.getvalue().endswith(CLEAR)


@pytest.mark.parametrize("seconds, words", [(5, "5 s"), (99.4, "99 s"), (200, "3:20 min"), (3900, "1:05 h")])
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert clock_time(seconds) == words


@pytest.mark.parametrize(
    "value, words",
    [(9_870_000, "9.87 M"), (12_345, "12.3 k"), (999.9, "1 k"), (456.7, "457"), (0.0123, "0.0123"), (0, "0"),
     (2.5e9, "2.5 G"), (-1234, "-1.23 k"), (999_900, "1 M"), (999.4, "999")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, words: str) -> None:
    assert number(value) == words


def test_tables_are_aligned() -> None:
    assert table(("server", "rate"), [("fastchat", "9"), ("x", "100")]) == [
        "  server    rate",
        "  fastchat     9",
        "  x          100",
    ]
    assert (milliseconds(0.0123), share(0.034), share(0.5), share(0)) == ("12.3 ms", "3.4%", "50%", "0%")


def test_after_ctrl_c_no_step_begins() -> None:
    line = Progress(io.StringIO(), 10.0)
    line.begin("first", 5.0)
    line.stopped = True
    with pytest.raises(KeyboardInterrupt):
        line.begin("second", 5.0)
