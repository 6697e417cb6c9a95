"""Every test of this directory runs over both twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.broadcast.rig import Rig
from tests.twins import twins


@pytest.fixture(params=twins("fastchat._broadcast", "fastchat._broadcast_py"))
def twin(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def rig(twin: Any) -> Iterator[Callable[..., Rig]]:
    """Makes rigs; closes them, and sees that nothing is held any more."""
    made: list[Rig] = []

    def make(**limits: Any) -> Rig:
        made.append(Rig(twin, **limits))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.core.total == 0
        assert not each.core.dirty
