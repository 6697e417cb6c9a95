"""The ladder of those who do not heed ERROR 400: every rung, and the ways off it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastchat.hub.ladder import CALM_MS, LADDER, Conduct, Standing
from tests.hub.stage import START


def climbed(conduct: Conduct, now: int, step: int, seconds: int) -> list[tuple[Standing, int]]:
    """Send a command every `step` ms for so long; each new standing and when it came, ms from `now`."""
    found = []
    for ms in range(0, seconds * 1000, step):
        if conduct.over(200, now + ms):
            found.append((conduct.standing, ms))
    return found


def test_every_rung_leads_to_one_above_it() -> None:
    assert set(LADDER) == set(Standing)
    for standing, rung in LADDER.items():
        assert rung.up == min(standing + 1, Standing.CUT)
        assert (rung.silent_ms > 0) == (standing >= Standing.MUTED)


def test_a_flooder_climbs_in_order() -> None:
    conduct = Conduct(START)
    found = climbed(conduct, START, 10, 40)
    assert [standing for standing, _ in found][:4] == [
        Standing.REFUSED, Standing.SLOWED, Standing.MUTED, Standing.CUT,
    ]  # fmt: skip
    times = dict(reversed(found))
    assert times[Standing.REFUSED] == 0
    assert times[Standing.SLOWED] == 200
    assert times[Standing.MUTED] == 10_200
    assert times[Standing.CUT] == 20_200


def test_who_comes_back_when_told_stays_on_the_first_rung() -> None:
    conduct = Conduct(START)
    for number in range(10_000):
        conduct.over(200, START + 200 * number)
    assert conduct.standing is Standing.REFUSED


def test_one_large_paste_only_slows() -> None:
    conduct = Conduct(START)
    for _ in range(500):
        conduct.over(200, START)
    assert conduct.standing is Standing.SLOWED
    assert not conduct.forgiven(START + CALM_MS - 1)
    assert conduct.forgiven(START + CALM_MS)


def test_few_strikes_over_a_long_time_do_not_mute() -> None:
    conduct = Conduct(START)
    for second in range(60):
        conduct.over(900, START + 1000 * second)
        conduct.over(900, START + 1000 * second + 1)
    assert conduct.standing is Standing.SLOWED


@pytest.mark.parametrize("standing", [Standing.MUTED, Standing.CUT])
def test_silence_ends_by_itself(standing: Standing) -> None:
    conduct, now = Conduct(START), START
    while conduct.standing is not standing:
        conduct.over(200, now)
        now += 10
    silent_ms = LADDER[standing].silent_ms
    assert conduct.silent_until == now - 10 + silent_ms
    assert not conduct.forgiven(conduct.silent_until - 1)
    assert conduct.forgiven(conduct.silent_until)


def test_who_was_cut_and_goes_on_is_cut_again() -> None:
    conduct, now = Conduct(START), START
    while conduct.standing is not Standing.CUT:
        conduct.over(200, now)
        now += 10
    until = conduct.silent_until
    found = climbed(conduct, now, 10, 15)
    assert [standing for standing, _ in found] == [Standing.CUT]
    assert 9_900 <= found[0][1] <= 10_000 and conduct.silent_until > until


def test_the_document_has_the_numbers() -> None:
    text = (Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8")
    refused, slowed, muted = (LADDER[one] for one in (Standing.REFUSED, Standing.SLOWED, Standing.MUTED))
    silent = (LADDER[one].silent_ms // 1000 for one in (Standing.MUTED, Standing.CUT))
    assert f"| slowed | {refused.strikes} strikes |" in text
    for name, rung in (("muted", slowed), ("cut off", muted)):
        assert f"| {name} | {rung.strikes} strikes more, over {rung.ms // 1000} s at least |" in text
    for words, seconds in zip(("nothing passes for {} s", "`after_ms` of {} s"), silent, strict=True):
        assert words.format(seconds) in text
    assert {5000: "Five seconds without a strike"}[CALM_MS] in text
