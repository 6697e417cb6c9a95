"""The little linear algebra that a fit of a few coefficients needs: no library, at most a dozen unknowns.

Invariant: nothing here knows what the coefficients mean; matrices are lists of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypeAlias

Vector: TypeAlias = list[float]
Matrix: TypeAlias = list[list[float]]

SINGULAR = 1e-12  # of a column's own square, left over after the others: rounding
RIDGE = 1e-9  # of the diagonal: holds nearly equal columns apart without moving anything else

# Student's t, 95 % two-sided, for 1 to 30 degrees of freedom (any table); further on see `student`.
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
Z95 = 1.960


class Solution(NamedTuple):
    """Least squares: coefficients, their covariance, and how many rows are left to judge the noise by."""

    values: Vector
    covariance: Matrix
    freedom: int


def student(freedom: int) -> float:
    """Standard errors to either side of 95 in 100, by degrees of freedom; 0 stands for many."""
    if freedom < 1:
        return Z95
    return T95[freedom - 1] if freedom <= len(T95) else Z95 + 2.4 / freedom


def inverse(matrix: Sequence[Sequence[float]]) -> Matrix | None:
    """Invert a symmetric positive definite matrix; None where it is singular."""
    size = len(matrix)
    scale = [sqrt(matrix[i][i]) if matrix[i][i] > 0.0 else 0.0 for i in range(size)]
    if not all(scale):
        return None
    rows = [
        [matrix[i][j] / (scale[i] * scale[j]) for j in range(size)] + [float(i == j) for j in range(size)]
        for i in range(size)
    ]
    for i in range(size):
        pivot = rows[i][i]
        if pivot < SINGULAR:
            return None
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [[rows[i][size + j] / (scale[i] * scale[j]) for j in range(size)] for i in range(size)]


def tolerance(columns: Sequence[Sequence[float]], column: int) -> float:
    """Tell which part of a column's square the others cannot explain: 1 all, 0 none."""
    normal = _normal(columns)
    if normal[column][column] <= 0.0:
        return 0.0
    for i in range(len(normal)):  # so that equal columns can be told from those that are like no other
        normal[i][i] *= 1.0 + RIDGE
    inverted = inverse(normal)
    return 0.0 if inverted is None else 1.0 / (inverted[column][column] * normal[column][column])


def least_squares(columns: Sequence[Sequence[float]], target: Sequence[float]) -> Solution:
    """Find coefficients >= 0 by an active set: those that would be negative are 0.

    The covariance is that of the unconstrained fit, so that a coefficient at its limit of 0 keeps its
    uncertainty; noise is what is left over by the constrained fit.
    """
    size, count = len(columns), len(target)
    normal = _normal(columns)
    for i in range(size):
        normal[i][i] *= 1.0 + RIDGE
    right = [sum(x * y for x, y in zip(column, target, strict=True)) for column in columns]
    values = _non_negative(normal, right)
    left = [
        y - sum(v * column[row] for v, column in zip(values, columns, strict=True))
        for row, y in enumerate(target)
    ]
    freedom = count - size
    noise = sum(x * x for x in left) / freedom if freedom > 0 else 0.0
    inverted = inverse(normal) or [[0.0] * size for _ in range(size)]
    return Solution(values, [[noise * x for x in row] for row in inverted], max(0, freedom))


def _normal(columns: Sequence[Sequence[float]]) -> Matrix:
    return [[sum(x * y for x, y in zip(a, b, strict=True)) for b in columns] for a in columns]


def _non_negative(normal: Matrix, right: Vector) -> Vector:
    """Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23, on the normal equations."""
    size = len(right)
    free: list[int] = []
    values = [0.0] * size
    for _ in range(3 * size + 3):
        slopes = [right[i] - sum(normal[i][j] * values[j] for j in range(size)) for i in range(size)]
        units = [slopes[i] / sqrt(normal[i][i]) if i not in free and normal[i][i] > 0.0 else 0.0
                 for i in range(size)]  # fmt: skip
        best = max(range(size), key=units.__getitem__)
        if units[best] <= SINGULAR * sqrt(sum(x * x for x in right)):
            break
        free.append(best)
        while free:
            wanted = _solve(normal, right, free)
            if wanted is None:  # the same as the others: it adds nothing
                free.pop()
                return values
            if min(wanted) > 0.0:
                values = [0.0] * size
                for i, value in zip(free, wanted, strict=True):
                    values[i] = value
                break
            step, first = min(
                (values[i] / (values[i] - value), i)
                for i, value in zip(free, wanted, strict=True)
                if value <= 0.0
            )
            for i, value in zip(free, wanted, strict=True):
                values[i] += step * (value - values[i])
            values[first] = 0.0
            free.remove(first)
    return values


def _solve(normal: Matrix, right: Vector, free: Sequence[int]) -> Vector | None:
    inverted = inverse([[normal[i][j] for j in free] for i in free])
    if inverted is None:
        return None
    return [sum(x * right[i] for x, i in zip(row, free, strict=True)) for row in inverted]
