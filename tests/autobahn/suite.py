"""The Autobahn suite's own case classes, from PyPI's `autobahntestsuite`, on Python 3.

The package is Python 2 source and its runner does not start. Its cases are small classes, so they are
imported as a package of another name whose loader rewrites the syntax tree: what a case asks and how it
judges stays the suite's own.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PACKAGE = "autobahn_cases"
HERE = "tests.autobahn.python2"
PROVIDED = {"binascii": ("binascii",), "autobahn.websocket.utf8validator": ("Utf8Validator",)}
PRELUDE = f"from {HERE} import xrange, unichr\n"
PRINT = re.compile(r"^(\s*)print\b(?!\s*\().*$", re.MULTILINE)
OMITTED = re.compile(r"[Cc]ase(12|13)_|[Cc]ase9_9_1")  # compression, which is not offered; and no case at all


def directory() -> Path:
    """Where the cases were installed."""
    spec = importlib.util.find_spec("autobahntestsuite")
    assert spec is not None and spec.submodule_search_locations, "autobahntestsuite is not installed"
    return Path(spec.submodule_search_locations[0]) / "case"


class Modernise(ast.NodeTransformer):
    """From what Python 2 meant to how Python 3 says it."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Imports of neighbours are relative; some modules come from `python2`."""
        name = node.module or ""
        if name in PROVIDED:
            node.module = HERE
        elif name.startswith("case"):
            node.level = 1
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        (alias,) = node.names
        if alias.name in PROVIDED:
            return ast.ImportFrom(HERE, [ast.alias(alias.name)], 0)
        return node

    def visit_Div(self, node: ast.Div) -> ast.AST:
        """Integers divide to integers."""
        return ast.FloorDiv()

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        """`object` before another base has no resolution order any more."""
        self.generic_visit(node)
        if len(node.elts) > 1 and isinstance(node.elts[0], ast.Name) and node.elts[0].id == "object":
            node.elts = node.elts[1:]
        return node


class Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compile each time: what is cached beside the files is not ours."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        text = PRINT.sub(r"\1pass", data.decode("latin-1").expandtabs())
        tree = ast.parse(PRELUDE + text)
        tree.body = [part for part in tree.body if not OMITTED.search(ast.unparse(part))]
        tree = ast.fix_missing_locations(Modernise().visit(tree))
        code: CodeType = compile(tree, path, "exec")
        return code


class Finder(MetaPathFinder):
    """Finds the cases under the name of our package."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        if package != PACKAGE:
            return None
        file = self._place / f"{module or '__init__'}.py"
        where = [] if module else [str(self._place)]
        loader = Loader(name, str(file))
        return importlib.util.spec_from_file_location(
            name, file, loader=loader, submodule_search_locations=where or None
        )


def cases() -> dict[str, type]:
    """All cases but those of compression, by number ("7.1.5"), in the suite's order."""
    finder = Finder(directory())
    sys.meta_path.insert(0, finder)
    try:
        package = importlib.import_module(PACKAGE)
        base: Any = importlib.import_module(f"{PACKAGE}.case").Case
    finally:
        sys.meta_path.remove(finder)
    # it compares pickles, which on Python 3 may differ for what is equal
    base.compare = lambda self, one, other: one == other
    return {case.__name__.removeprefix("Case").replace("_", "."): case for case in package.Cases}
