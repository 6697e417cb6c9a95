"""Which twin serves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.twins import twins

CHECK = "import fastchat.broadcast as b; print(b.EXTENSION, b.Broadcaster.__module__)"


def chosen(environment: dict[str, str], before: str = "") -> str:
    """What a fresh interpreter chooses."""
    result = subprocess.run(
        [sys.executable, "-c", before + CHECK], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.delenv("FASTCHAT_PURE", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return dict(os.environ)


def test_the_compiled_twin_serves_where_it_is_built(environment):
    module = twins("fastchat._broadcast", "fastchat._broadcast_py")[0].values[0]
    if module is None:
        pytest.skip("not built")
    assert chosen(environment) == "True fastchat._broadcast"


def test_the_pure_twin_serves_where_it_is_not(environment):
    hide = "import sys; sys.modules['fastchat._broadcast'] = None\n"
    assert chosen(environment, hide) == "False fastchat._broadcast_py"


def test_the_pure_twin_serves_where_it_is_asked_for(environment):
    assert chosen(environment | {"FASTCHAT_PURE": "1"}) == "False fastchat._broadcast_py"
