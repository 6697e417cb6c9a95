"""Run one test-suite over a compiled module and its pure twin."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def twins(ext_name: str, pure_name: str) -> list[Any]:
    """List both modules for `pytest.mark.parametrize`, with the ids "cython" and "pure".

    A compiled module that is not built is skipped, or an error where FASTCHAT_REQUIRE_EXT=1. One that is
    there but does not import is always an error.
    """
    pure = pytest.param(importlib.import_module(pure_name), id="pure")
    try:
        compiled = importlib.import_module(ext_name)
    except ModuleNotFoundError as error:
        if error.name != ext_name or os.environ.get("FASTCHAT_REQUIRE_EXT") == "1":
            raise
        missing = pytest.mark.skip(reason=f"{ext_name} is not built")
        return [pytest.param(None, id="cython", marks=missing), pure]
    return [pytest.param(compiled, id="cython"), pure]
