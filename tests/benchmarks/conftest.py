"""What the tests of the benchmarks share: the C programs, built once, and one core for everybody."""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks import programs


@pytest.fixture(scope="session")
def cores() -> programs.Cores:
    """The C programs are built and nothing is pinned. Without a compiler: skipped, or failed if required."""
    if shutil.which(programs.compiler()[0]) is None and os.environ.get("FASTCHAT_REQUIRE_EXT") != "1":
        pytest.skip("no C compiler")
    programs.build()
    return programs.Cores(None, None)
