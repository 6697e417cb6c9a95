"""Coefficients found again from what they cost, and samples that do not tell them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat.capacity import NAMES, CapacityError, Model, Sample, calibrate
from fastchat.capacity_linear import inverse, least_squares, student

PLANTED = Model(a=9e-6, b=3.6e-6, c=45e-9, d=0.12e-9, e=35e-6, b1=0.3e-6, a1=2e-9)
# members, messages/s, messages in a round, bytes of a frame
LOADS = [
    (members, rate, gathered, size)
    for members, rate in ((20, 2000), (100, 400), (100, 4000), (500, 800), (2000, 150), (4000, 75))
    for gathered, size in ((1, 110), (4, 450), (30, 110), (12, 2000))
]


def sample(model: Model, members: int, rate: float, gathered: float, size: int, noise: float = 0.0) -> Sample:
    """Two seconds of a room of `members`; `noise` is relative."""
    messages = int(2 * rate)
    rounds = max(1, round(messages / gathered))
    done = Sample(
        1.0, 2.0, messages, rounds * members, messages * members, messages * members * size, rounds, members
    )
    return done._replace(cpu=model.cpu(done) * (1 + noise))


def loads(model: Model, seed: int, noise: float) -> list[Sample]:
    random = Random(seed)
    return [sample(model, *load, random.gauss(0, noise)) for load in LOADS]


def test_exact_samples_give_the_coefficients_back():
    found = calibrate(loads(PLANTED, 1, 0.0))
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(PLANTED, name), rel=0.02), name


@pytest.mark.parametrize("seed", range(5))
def test_noisy_samples_give_about_the_coefficients_and_good_predictions(seed):
    found = calibrate(loads(PLANTED, seed, 0.03))
    assert found.a == pytest.approx(PLANTED.a, rel=0.3)
    assert found.c == pytest.approx(PLANTED.c, rel=0.25)
    for members, rate in ((50, 3000), (1000, 500), (3000, 100)):
        other = sample(PLANTED, members, rate, 8, 300)
        assert found.cpu(other) == pytest.approx(other.cpu, rel=0.05)
    exact, about = (m.requests_per_second(300, 100, 0.02) for m in (PLANTED, found))
    assert about.value == pytest.approx(exact.value, rel=0.1)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = {name: 0 for name in ("a", "b", "c", "d", "e")}
    for seed in range(100):
        found = calibrate(loads(PLANTED, seed, 0.03)).coefficients()
        for name in covered:
            covered[name] += found[name].low <= getattr(PLANTED, name) <= found[name].high
    assert all(88 <= times for times in covered.values()), covered
    assert sum(covered.values()) < 500


@settings(max_examples=30, deadline=None)
@given(
    st.floats(1e-6, 5e-5),
    st.floats(1e-6, 1e-5),
    st.floats(1e-8, 2e-7),
    st.floats(0, 1e-9),
    st.floats(0, 1e-4),
)
def test_any_coefficients_are_found(a, b, c, d, e):
    planted = Model(a=a, b=b, c=c, d=d, e=e)
    found = calibrate(loads(planted, 1, 0.0))
    for load in LOADS:
        expected = sample(planted, *load)
        assert found.cpu(expected) == pytest.approx(expected.cpu, rel=1e-3)
    assert min(getattr(found, name) for name in NAMES) >= 0


def test_the_flush_told_apart_gives_both_parts():
    random = Random(4)
    samples = []
    for load in LOADS:
        done = sample(PLANTED, *load)
        rest = replace(PLANTED, b=0, c=0, d=0, b1=0, e=20e-6).cpu(done)
        flush = (done.cpu - rest) * (1 + random.gauss(0, 0.02))
        rest *= 1 + random.gauss(0, 0.02)
        samples.append(done._replace(cpu=flush + rest, flush=flush))
    found = calibrate(samples)
    assert found.a == pytest.approx(PLANTED.a, rel=0.1)
    assert found.b == pytest.approx(PLANTED.b, rel=0.1)
    assert found.e == pytest.approx(PLANTED.e, rel=0.3)


def test_threads_have_no_frames_and_no_rounds():
    planted = Model(a=25e-6, b=6e-6, d=0.2e-9, coalescing=False)
    samples = [
        sample(planted, members, rate, 1, size)._replace(rounds=0)
        for members, rate in ((10, 900), (100, 90), (400, 20))
        for size in (110, 2000)
    ]
    found = calibrate(samples, coalescing=False)
    assert not found.coalescing and found.c == found.e == found.hold == 0
    assert found.a == pytest.approx(planted.a, rel=0.02)
    assert found.b == pytest.approx(planted.b, rel=0.02)
    assert found.d == pytest.approx(planted.d, rel=0.02)


def test_one_payload_leaves_the_bytes_in_the_frames():
    planted = replace(PLANTED, b1=0.0)
    same = [sample(planted, members, rate, gathered, 110) for members, rate, gathered, _ in LOADS]
    found = calibrate(same)
    assert found.d == 0
    assert found.c == pytest.approx(planted.c + 110 * planted.d, rel=0.05)


BAD = {
    "nothing": ([], "0 samples"),
    "too few": ([sample(PLANTED, *load) for load in LOADS[:2]], "2 samples for 3"),
    "one room size": ([sample(PLANTED, 100, 1000, 3, 110) for _ in range(8)], "do not tell a: add a load"),
    "nothing to gather": (
        [sample(PLANTED, members, 200, 1, 110) for members in (10, 50, 100, 500, 1000)],
        "few messages an iteration and one with many",
    ),
    "nothing relayed": ([Sample(1.0, 1.0, 5, 0, 0, 0, 0, 10)] * 9, "nothing was relayed"),
    "no work": ([sample(PLANTED, *LOADS[0])._replace(cpu=0.0)] * 9, "must be positive"),
    "a number that is none": ([sample(PLANTED, *LOADS[0])._replace(cpu=float("nan"))] * 9, "positive"),
    "a flush longer than all": ([sample(PLANTED, *LOADS[0])._replace(flush=1e9)] * 9, "for both"),
}  # fmt: skip


@pytest.mark.parametrize("samples, says", BAD.values(), ids=BAD)
def test_samples_that_do_not_tell_say_what_to_measure(samples, says):
    with pytest.raises(CapacityError, match=says):
        calibrate(samples)


def test_a_coefficient_is_never_negative():
    columns = [[1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0]]
    target = [2.0, 3.0, 3.0, 2.0]  # would want the squares to cost less than nothing
    solution = least_squares(columns, target)
    assert solution.values[1] == 0.0
    assert solution.values[0] == pytest.approx((2 + 6 + 9 + 8) / 30)
    assert solution.covariance[1][1] > 0


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_an_inverse_is_one(size, random):
    rows = [[random.uniform(-1, 1) for _ in range(size)] for _ in range(size + 3)]
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    for i in range(size):
        matrix[i][i] += 1e-3
    inverted = inverse(matrix)
    assert inverted is not None
    for i in range(size):
        for j in range(size):
            product = sum(matrix[i][k] * inverted[k][j] for k in range(size))
            assert product == pytest.approx(float(i == j), abs=1e-6)


def test_no_inverse_of_equal_columns():
    assert inverse([[1.0, 1.0], [1.0, 1.0]]) is None
    assert inverse([[0.0]]) is None


def test_students_t():
    assert [student(n) for n in (1, 10, 30)] == [12.706, 2.228, 2.042]
    assert student(60) == pytest.approx(2.000, abs=0.005)
    assert student(0) == pytest.approx(1.96)
