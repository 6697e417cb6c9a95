"""The generator's percentiles are those of the values, within the width of a bucket."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from benchmarks.programs import SOURCES, Cores, compiler

PROGRAM = """
#include "histogram.h"
#include <stdio.h>
#include <stdlib.h>
static Histogram h;
int main(int argc, char **argv) {
    unsigned long long value;
    while (scanf("%llu", &value) == 1) record(&h, value);
    for (int i = 1; i < argc; i++) printf("%.0f\\n", percentile(&h, atof(argv[i])));
    return 0;
}
"""
SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)


@pytest.fixture(scope="module")
def program(cores: Cores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("histogram")
    (folder / "main.c").write_text(PROGRAM)
    subprocess.run([*compiler(), "-I", str(SOURCES), "-o", "main", "main.c"], cwd=folder, check=True)
    return folder / "main"


def percentiles(program: Path, values: list[int]) -> list[int]:
    words = [str(program), *map(str, SHARES)]
    done = subprocess.run(words, input=" ".join(map(str, values)), capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


SAMPLES = {
    "uniform, 0.5 to 3.5 ms": [random.Random(1).randrange(500_000, 3_500_000) for _ in range(20_000)],
    "over all sizes": [int(10 ** random.Random(i).uniform(0, 12)) for i in range(20_000)],
    "small": list(range(300)),
    "powers of two and their neighbours": [2**i + j for i in range(40) for j in (-1, 0, 1)],
    "one": [123_456_789],
}


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_percentiles_are_at_most_a_bucket_too_high(program: Path, values: list[int]) -> None:
    ordered = sorted(values)
    for share, found in zip(SHARES, percentiles(program, values), strict=True):
        right = ordered[min(int(share * len(ordered)), len(ordered) - 1)]
        assert right <= found <= right * 1.008, share
