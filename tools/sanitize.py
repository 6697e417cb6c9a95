"""Build the extensions with AddressSanitizer and UBSan in build/sanitize and run the tests that touch C.

Planted faults come first: unless each sanitizer stops its own, the run proves nothing and fails.
Arguments go to pytest; without any, PATHS are tested. Needs gcc with its sanitizer libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "build" / "sanitize"
LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.pyc", "fastchat-data", "bench_results"
)
PATHS = ("tests/broadcast", "tests/protocol", "tests/transports", "tests/server")
# Python's own flags have -fwrapv, under which UBSan finds no overflow. The warning is about what is planted.
FLAGS = (
    "-O1 -g -fno-omit-frame-pointer -fno-wrapv -Wno-use-after-free"
    " -fsanitize=address,undefined -fno-sanitize-recover=all"
)

PLANTED = """
from libc.stdlib cimport free, malloc

def stale(bint early):
    cdef char *block = <char *>malloc(16)
    block[0] = 1
    if early:
        free(block)
    cdef int value = block[0]
    if not early:
        free(block)
    return value

def too_much(int value):
    cdef int most = 2147483647
    cdef int total = value + most
    return total
"""
STOPPED = {
    "planted.stale(True)": "AddressSanitizer: heap-use-after-free",
    "planted.too_much(1)": "runtime error: signed integer overflow",
}
HARMLESS = "planted.stale(False), planted.too_much(0)"


def stage() -> None:
    """Copy what is tested, without what was built for everyday use."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ROOT, STAGE, ignore=LEFT_OUT)
    for made in (STAGE / "fastchat").rglob("*.c"):
        made.unlink()
    (STAGE / "fastchat" / "planted.pyx").write_text(PLANTED)


def build() -> None:
    environment = os.environ | {"FASTCHAT_REQUIRE_EXT": "1", "FASTCHAT_CFLAGS": FLAGS, "CC": compiler()}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=STAGE, env=environment, check=True)


def compiler() -> str:
    return os.environ.get("CC") or "gcc"


def sanitized() -> dict[str, str]:
    """Make the environment in which Python, itself not sanitized, can load what is."""
    library = subprocess.run(
        [*compiler().split(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return os.environ | {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",  # so that every object has its own guarded block
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself does not free everything at exit
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "FASTCHAT_REQUIRE_EXT": "1",
        "FASTCHAT_TEST_PATIENCE": "5",
    }


def bites(environment: dict[str, str]) -> bool:
    """Tell whether both sanitizers stop what is planted, and only that."""
    for call, report in {**STOPPED, HARMLESS: ""}.items():
        command = [sys.executable, "-c", f"from fastchat import planted; {call}"]
        run = subprocess.run(command, cwd=STAGE, env=environment, capture_output=True, text=True)
        if (run.returncode == 0) != (not report) or report not in run.stderr:
            print(f"{call}: exit {run.returncode}, expected {report or 'no'} report:\n{run.stderr[-2000:]}")
            return False
        print(f"planted: {call}: {report or 'not stopped'}, as it should be", flush=True)
    return True


def main(arguments: list[str]) -> int:
    stage()
    build()
    environment = sanitized()
    if not bites(environment):
        print("the sanitizers do not work here: nothing was tested")
        return 2
    paths = arguments or [path for path in PATHS if (STAGE / path).exists()]
    # pytest must leave the descriptor of stderr alone, or a report dies with the process that it ends
    command = [sys.executable, "-m", "pytest", "--capture=sys", "-p", "no:cacheprovider", *paths]
    said = STAGE / "stderr.txt"
    with said.open("wb") as stderr:
        status = subprocess.run(command, cwd=STAGE, env=environment, stderr=stderr).returncode
    text = said.read_text(errors="replace")
    report = re.search(r"(?s)[^\n]*(?:runtime error|AddressSanitizer).{,6000}", text)
    print(f"\n{report[0]}\n--- a report of the sanitizers" if report else text[-2000:])
    print(f"pytest ended with {status}")
    return 1 if report else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
