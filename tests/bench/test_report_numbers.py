"""Numbers for people."""

from __future__ import annotations

import pytest

from fastchat.bench.report_numbers import (
    between,
    count,
    deviation,
    duration,
    kibibytes,
    milliseconds,
    number,
    share,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.01234, "0.0123"), (5.4321, "5.43"), (123.4, "123"), (999.4, "999"), (999.6, "1 k"),
        (1234, "1.23 k"), (999_999, "1 M"), (9.871e6, "9.87 M"), (2.5e9, "2.5 G"), (-1500, "-1.5 k"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_units() -> None:
    assert (milliseconds(0.0123), milliseconds(0.9999), milliseconds(3.104)) == ("12.3 ms", "1 s", "3.1 s")
    assert (share(0.0), share(0.031), share(0.0996), share(0.5), share(2.0)) == (
        "0 %", "3.1 %", "10 %", "50 %", "200 %",
    )  # fmt: skip
    assert (deviation(0.045), deviation(-0.1)) == ("+4.5 %", "-10.0 %")
    assert (kibibytes(2900), count(19000)) == ("2.83 KiB", "19,000")
    assert (duration(59), duration(754), duration(9000)) == ("59 s", "13 minutes", "2.5 hours")
    assert (between(1000, 1001), between(1000, 2000)) == ("1 k", "1 k to 2 k")
