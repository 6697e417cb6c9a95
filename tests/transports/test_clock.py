"""Server time never goes back and never stands still."""

from __future__ import annotations

from fastchat.transports.clock import Clock


def test_it_tells_wall_time() -> None:
    clock = Clock(monotonic=100.0, wall=1_700_000_000.0)
    assert clock.ms(100.0) == 1_700_000_000_000
    assert clock.ms(100.25) == 1_700_000_000_250


def test_a_wall_clock_set_forward_is_followed_at_once() -> None:
    clock = Clock(100.0, 1000.0)
    clock.sync(101.0, 4601.0)
    assert clock.ms(101.0) == 4_601_000


def test_a_wall_clock_set_back_slows_it_down_until_both_agree() -> None:
    clock = Clock(0.0, 1000.0)
    wall, told = 990.0, []  # set back by ten seconds at once
    for beat in range(1, 400):
        monotonic = beat * 0.1
        clock.sync(monotonic, wall + monotonic)
        told.append(clock.ms(monotonic))
    steps = [later - earlier for earlier, later in zip(told, told[1:], strict=False)]
    assert min(steps) >= 49  # half speed at the slowest: 50 ms a beat, rounded down
    assert abs(told[-1] - (990.0 + 39.9) * 1000) <= 1


def test_a_clock_read_between_two_beats_does_not_go_back_at_the_next() -> None:
    clock = Clock(0.0, 1000.0)
    before = clock.ms(0.0999)
    clock.sync(0.1, 900.0)
    assert clock.ms(0.1) >= 1_000_050
    assert before <= 1_000_100  # the beat may take back what it has not told yet, and no more
