"""The law of the layers: imports point down, the cores touch neither socket, clock, task nor log.

Each rule is a function from a parsed file to what it finds; every rule has to find a planted fault.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".pyx", ".pxd", ".pxi"}
MOST_LINES = 300

# From the bottom to the top: modules and packages directly below fastchat, "*" as in file names.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "config"),
    ("protocol",),
    ("broadcast", "_broadcast*", "holdback"),
    ("capacity*", "meter", "admission"),
    ("engine",),
    ("identity",),
    ("hub",),
    ("transports",),
    ("client", "bench", "baselines"),
    ("settings*", "hooks", "screens", "server"),
    ("",),  # fastchat itself: what a user of the library imports
    ("cli", "__main__"),
)
ONLY = {"client": {"client", "protocol", "errors"}}  # what a client is made of, so that it may stand alone

CORES = (
    "protocol", "holdback", "capacity*", "meter", "admission", "engine.archive", "engine.base",
    "engine.changes", "engine.memory", "identity.base", "identity.tokens", "hub",
)  # fmt: skip
OUTSIDE = {
    "asyncio", "datetime", "logging", "os", "random", "secrets", "select", "selectors", "signal", "socket",
    "ssl", "subprocess", "sys", "threading", "time", "uuid", "uvloop",
}  # fmt: skip
TYPES_ONLY = {"random.Random"}  # named to say what is injected
CHOOSERS = ("broadcast", "protocol.framing", "protocol.codec")  # read FASTCHAT_PURE once, to choose the twin
PRINTERS = ("cli", "__main__")
NAMELESS = {"utils", "util", "helpers", "common", "misc"}

# Why a file is longer than MOST_LINES.
LONG = {
    "_codec.pyx": "one compiled unit: C functions are inlined within a module only",
    "_framing.pyx": "one compiled unit: C functions are inlined within a module only",
}


@dataclass(frozen=True)
class Source:
    """One file of the package; `name` is dotted and without "fastchat", `tree` is None for Cython."""

    root: Path
    path: Path
    name: str
    text: str
    tree: ast.Module | None

    def package(self, level: int) -> str:
        """Name the package that a relative import of that many dots starts from; "" for no dots."""
        parts = ["fastchat", *self.path.relative_to(self.root / "fastchat").parts]
        return ".".join(parts[:-level]) if level else ""

    def within(self, names: tuple[str, ...]) -> bool:
        return any(
            fnmatch.fnmatchcase(self.name, name) or self.name.startswith(name + ".") for name in names
        )


def sources(root: Path) -> list[Source]:
    found = []
    for path in sorted(path for path in (root / "fastchat").rglob("*") if path.suffix in SUFFIXES):
        parts = path.relative_to(root / "fastchat").with_suffix("").parts
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text) if path.suffix == ".py" else None
        found.append(Source(root, path, ".".join(parts).removesuffix("__init__").rstrip("."), text, tree))
    return found


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported at run time; typing-only imports do not count."""
    if source.tree is None:
        for number, line in enumerate(source.text.splitlines(), 1):
            match = re.match(r"\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", line)
            if match:
                yield number, match[1] or match[2]
        return
    for node in walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (source.package(node.level), node.module)))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree without what stands under `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from walk(child)


def rank(name: str) -> int | None:
    """Find how high the module stands, None where nobody has placed it."""
    head = name.split(".")[0]
    for height, patterns in enumerate(LAYERS):
        if any(fnmatch.fnmatchcase(head, pattern) for pattern in patterns):
            return height
    return None


def downward(source: Source) -> Iterator[str]:
    home = rank(source.name)
    if home is None:
        yield "stands in no layer: place it in LAYERS"
        return
    head = source.name.split(".")[0]
    for line, target in imports(source):
        if target != "fastchat" and not target.startswith("fastchat."):
            continue
        # `from fastchat import hub` is of hub, `from fastchat import connect` of the package itself
        name = target.removeprefix("fastchat").lstrip(".")
        height = rank(name)
        if height is None:
            height = rank("")
        assert height is not None
        if height > home:
            yield f"line {line}: imports {target}, which stands above it"
        elif name.split(".")[0] not in ONLY.get(head, {name.split(".")[0]}):
            yield f"line {line}: imports {target}; {head} may use only {', '.join(sorted(ONLY[head]))}"


def sans_io(source: Source) -> Iterator[str]:
    if not source.within(CORES):
        return
    allowed = {"os"} if source.within(CHOOSERS) else set()
    for line, target in imports(source):
        if target.split(".")[0] in OUTSIDE - allowed and target not in TYPES_ONLY:
            yield f"line {line}: imports {target}: time, chance and faults are arguments here"


def eager(source: Source) -> Iterator[str]:
    if source.tree is None or source.within(PRINTERS):
        return
    for function in ast.walk(source.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield f"line {node.lineno}: import inside a function"


def silent(source: Source) -> Iterator[str]:
    if source.tree is None or source.within(PRINTERS):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "input"):
            yield f"line {node.lineno}: only the command line prints"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield f"line {node.lineno}: only the command line prints"


def environment(source: Source) -> Iterator[str]:
    if source.tree is None or source.within((*PRINTERS, *CHOOSERS)):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
            yield f"line {node.lineno}: the environment is read in the command line, by settings.load()"


def short(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > MOST_LINES and source.path.name not in LONG:
        yield f"{lines} lines: cut it up, or explain it in LONG"


def named(source: Source) -> Iterator[str]:
    if source.path.stem in NAMELESS:
        yield "a module is named after the thing it holds"


RULES = (downward, sans_io, eager, silent, environment, short, named)


def violations(root: Path) -> list[str]:
    return [
        f"{source.path.relative_to(root)}: {found}"
        for source in sources(root)
        for rule in RULES
        for found in rule(source)
    ]


def test_the_package_keeps_the_law() -> None:
    assert violations(ROOT) == []


def test_every_explained_exception_is_still_one() -> None:
    lines = {source.path.name: source.text.count("\n") for source in sources(ROOT)}
    assert [name for name in LONG if lines.get(name, 0) <= MOST_LINES] == []


PLANTED = {
    "an import that points up": ("protocol/a.py", "from fastchat.hub import rooms\n", "stands above it"),
    "a plain import that points up": ("hub/a.py", "import fastchat.transports.tcp\n", "stands above it"),
    "an import of the whole package": ("hub/a.py", "import fastchat\n", "stands above it"),
    "a Cython import that points up": ("_broadcast.pyx", "from fastchat.hub cimport x\n", "stands above it"),
    "a relative import that points up": ("hub/a.py", "from ..server import Server\n", "stands above it"),
    "a relative import of a module above": ("hub/a.py", "from .. import server\n", "stands above it"),
    "a module without a layer": ("newcomer.py", "", "stands in no layer"),
    "a client that leans on the server": ("client/a.py", "import fastchat.hub\n", "may use only"),
    "a clock in the hub": ("hub/a.py", "from time import monotonic\n", "imports time.monotonic"),
    "chance in the engine": ("engine/memory.py", "import random\n", "imports random"),
    "a log in the hub": ("hub/a.py", "import logging.handlers\n", "imports logging.handlers"),
    "an environment in the codec": ("protocol/names.py", "import os\n", "imports os"),
    "a clock in a part of the model": ("capacity_live.py", "import time\n", "imports time"),
    "a task in the hold-back": ("holdback.py", "if True:\n    import asyncio\n", "imports asyncio"),
    "a clock in Cython": ("protocol/_codec.pyx", "from time import time\n", "imports time"),
    "a lazy import": ("server.py", "def f():\n    import json\n", "import inside a function"),
    "a lazy import in a coroutine": ("server.py", "async def f():\n    import json\n", "inside a function"),
    "a print": ("transports/a.py", "print('hello')\n", "only the command line prints"),
    "a write to stderr": ("server.py", "import sys\nsys.stderr\n", "only the command line prints"),
    "a variable read anywhere": ("transports/a.py", "import os\nos.environ\n", "the environment is read"),
    "a long file": ("server.py", "x = 1\n" * (MOST_LINES + 1), "301 lines"),
    "a drawer for everything": ("hub/utils.py", "", "named after the thing"),
}  # fmt: skip


@pytest.mark.parametrize("path, text, says", PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(tmp_path: Path, path: str, text: str, says: str) -> None:
    planted = tmp_path / "fastchat" / path
    planted.parent.mkdir(parents=True)
    planted.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1 and says in found[0]


ALLOWED = {
    "an import that points down": ("hub/a.py", "from fastchat.protocol import codec\n"),
    "an import beside": ("hub/a.py", "from fastchat.hub.rooms import Room\n"),
    "a relative import beside": ("hub/a.py", "from . import b\nfrom .c import d\nfrom .. import errors\n"),
    "an import for the type checker": (
        "hub/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import random, fastchat.server\n",
    ),
    "the type of what is injected": ("hub/a.py", "from random import Random\n"),
    "the choice of a twin": ("protocol/framing.py", "import os\nos.environ.get('FASTCHAT_PURE')\n"),
    "a thread in an engine with a store": ("engine/sqlite.py", "import threading\n"),
    "a lazy import of the command line": ("cli/serve.py", "def f():\n    import json\n    print(json)\n"),
    "a file of the longest length": ("server.py", "x = 1\n" * MOST_LINES),
}


@pytest.mark.parametrize("path, text", ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_not_found(tmp_path: Path, path: str, text: str) -> None:
    allowed = tmp_path / "fastchat" / path
    allowed.parent.mkdir(parents=True)
    allowed.write_text(text)
    assert violations(tmp_path) == []
