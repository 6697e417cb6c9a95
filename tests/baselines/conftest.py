from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.baselines.running import KINDS, Running, running


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Running]:
    with running(kind) as one:
        yield one
