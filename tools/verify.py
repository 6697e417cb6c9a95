"""Run the steps of `make test` or `make check`, go on after a failure, and end with one plain summary."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWLIST = ROOT / "tools" / "stubtest-allowlist.txt"


def compiled_modules() -> list[str]:
    """Name every module that has a stub: those are the compiled ones."""
    stubs = sorted((ROOT / "fastchat").rglob("*.pyi"))
    return [".".join(stub.relative_to(ROOT).with_suffix("").parts) for stub in stubs]


def steps() -> dict[str, list[str]]:
    python = sys.executable
    # A compiled class is a "disjoint base" by its C struct; users of the stubs gain nothing by hearing of it.
    options = ["--ignore-disjoint-bases", "--ignore-unused-allowlist", "--allowlist", str(ALLOWLIST)]
    stubtest = [python, "-m", "mypy.stubtest", *compiled_modules(), *options]
    return {
        "lint": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "mypy"],
        "stubs": stubtest,
        "tests": [python, "-m", "pytest"],
    }


def main(names: list[str]) -> int:
    environment = os.environ | {"FASTCHAT_REQUIRE_EXT": "1"}
    environment.pop("FASTCHAT_PURE", None)
    commands = steps()
    outcomes: list[tuple[str, bool, float]] = []
    for name in names:
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        passed = subprocess.run(commands[name], cwd=ROOT, env=environment).returncode == 0
        outcomes.append((name, passed, time.monotonic() - began))
    print("---")
    for name, passed, seconds in outcomes:
        print(f"{name:6} {'passed' if passed else 'FAILED'} in {seconds:.1f} s")
    return 0 if all(passed for _, passed, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
