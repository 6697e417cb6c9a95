"""The servers that are measured: fastchat, the baselines, and peers that a TOML file describes.

A peer is data: how it is started, what it speaks, and what has to be there. One that cannot be started here
is skipped by name, with what to do; it never fails a run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastchat.bench.failure import BenchError

PLACEHOLDERS = ("port", "folder", "python")  # folder: a fresh one, gone afterwards; python: this interpreter
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,30}")
WIRES = ("tcp", "ws")
SBIN = "/usr/sbin:/usr/local/sbin"  # where distributions put servers; not on everybody's PATH


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be there before a server can start."""

    executable: str = ""  # found on the PATH, or where servers lie
    module: str = ""  # of the Python in .venv/ beside the peers' file; without a file, of this one
    node_module: str = ""  # in node_modules/ beside the peers' file

    def missing(self, folder: Path | None) -> str:
        """What is not there, in words; "" if all is."""
        if self.executable and located(self.executable) is None:
            return f"{self.executable} is not on the PATH"
        if self.module and not importable(self.module, folder):
            return f"Python has no module {self.module}"
        if self.node_module and not ((folder or Path()) / "node_modules" / self.node_module).is_dir():
            return f"node has no module {self.node_module}"
        return ""


@dataclass(frozen=True, slots=True)
class Target:
    """One server: how it is started, and what it speaks."""

    name: str
    command: tuple[str, ...]  # with {port}, {folder}, {python}
    dialect: str = "fastchat"  # fastchat.bench.dialects
    wire: str = "tcp"
    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables
    coalescing: bool = True  # several frames may share a send: which model of capacity applies
    language: str = "Python"
    needs: Needs = Needs()
    get: str = "make peers"  # how to get what it needs
    note: str = ""
    version: tuple[str, ...] = ()  # a command that prints it
    folder: Path | None = None  # where it is started; None: beside the package

    def missing(self) -> str:
        """Why it cannot be started here and what to do; "" if it can."""
        lacking = self.needs.missing(self.folder)
        return f"{lacking} ({self.get})" if lacking else ""

    def facts(self) -> dict[str, Any]:
        """What a result says of it."""
        return {
            "language": self.language,
            "dialect": self.dialect,
            "wire": self.wire,
            "coalescing": self.coalescing,
            "note": self.note,
        }

    def words(self, values: Mapping[str, str]) -> list[str]:
        """The command with its placeholders filled in."""
        program, *rest = (expand(word, values) for word in self.command)
        return [located(program) or program, *rest]


def located(program: str) -> str | None:
    """Where a program lies; None if it is nowhere."""
    return shutil.which(program) or shutil.which(program, path=SBIN)


def importable(module: str, folder: Path | None) -> bool:
    """Whether a peer's own Python has the module; without a folder, whether this one has."""
    if folder is None:
        return importlib.util.find_spec(module) is not None
    places = list((folder / ".venv" / "lib").glob("python*/site-packages"))
    return any((place / module).is_dir() or (place / f"{module}.py").is_file() for place in places)


def expand(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


SERVE = ("{python}", "-m", "fastchat", "serve", "--port", "{port}")
OURS = (*SERVE, "--limits", "off", "--engine", "memory")
NEVER_REFUSE = {"FASTCHAT_ADMISSION": "false"}  # a laboratory wants to see what overload does
BUILT_IN: tuple[Target, ...] = (
    Target("fastchat", OURS, settings=NEVER_REFUSE, note="one process, Cython broadcast core"),
    Target("fastchat-ws", OURS, wire="ws", settings=NEVER_REFUSE, note="the same over WebSocket"),
    Target("threaded", (*SERVE, "--server", "threaded"), coalescing=False, note="a thread for each client"),
    Target("streams", (*SERVE, "--server", "streams"), coalescing=False, note="asyncio streams, naive loop"),
)

STRINGS = ("dialect", "wire", "language", "get", "note")
FIELDS = {*STRINGS, "command", "version", "needs", "settings", "coalescing"}
REQUIRED = ("command", "dialect")


def read_peers(path: Path) -> tuple[Target, ...]:
    """The peers that a TOML file describes, a table each. Raises BenchError with the place of a mistake."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path.name}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchError(f"{path.name}: not TOML: {error}") from error
    return tuple(_peer(name, table, path) for name, table in tables.items())


def _peer(name: str, table: Any, path: Path) -> Target:
    where = f"{path.name}: [{name}]"
    if not isinstance(table, dict):
        raise BenchError(f"{where}: a peer is a table: write [{name}]")
    if not NAME.fullmatch(name) or name in {target.name for target in BUILT_IN}:
        raise BenchError(f"{where}: a name is of a-z, 0-9, . and -, and none of those built in")
    if unknown := sorted(set(table) - FIELDS):
        raise BenchError(f"{where}: unknown {', '.join(unknown)}; there are {', '.join(sorted(FIELDS))}")
    if absent := [key for key in REQUIRED if key not in table]:
        raise BenchError(f"{where}: {' and '.join(absent)} must be given")
    texts = {key: _text(table[key], f"{where} {key}") for key in STRINGS if key in table}
    if texts.get("wire", "tcp") not in WIRES:
        raise BenchError(f"{where} wire: {texts['wire']} is not one of {', '.join(WIRES)}")
    coalescing = table.get("coalescing", True)
    if not isinstance(coalescing, bool):
        raise BenchError(f"{where} coalescing: true or false")
    command = _words(table["command"], f"{where} command")
    settings = _mapping(table.get("settings", {}), f"{where} settings")
    if not any("{port}" in word for word in (*command, *settings.values())):
        raise BenchError(f"{where} command: nothing says {{port}}, so it cannot be told where to listen")
    version = _words(table["version"], f"{where} version") if "version" in table else ()
    needs = _needs(table.get("needs", {}), where)
    made = Target(name, command, settings=settings, coalescing=coalescing, needs=needs, version=version)
    return replace(made, folder=path.resolve().parent, **texts)  # type: ignore[arg-type]  # STRINGS are texts


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise BenchError(f"{where}: a text is wanted")
    return value


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise BenchError(f'{where}: a list of words is wanted, like ["program", "--port", "{{port}}"]')
    for word in value:
        _placeholders(word, where)
    return tuple(value)


def _mapping(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise BenchError(f"{where}: a table of environment variables is wanted, each a text")
    for text in value.values():
        _placeholders(text, where)
    return dict(value)


def _placeholders(word: str, where: str) -> None:
    for found in re.findall(r"\{(\w+)\}", word):
        if found not in PLACEHOLDERS:
            raise BenchError(f"{where}: unknown {{{found}}}; there are {', '.join(PLACEHOLDERS)}")


def _needs(value: Any, where: str) -> Needs:
    kinds = Needs.__dataclass_fields__
    if not isinstance(value, dict) or not set(value) <= set(kinds):
        raise BenchError(f"{where} needs: a table with {', '.join(kinds)}")
    return Needs(**{kind: _text(name, f"{where} needs.{kind}") for kind, name in value.items()})


def choose(names: Sequence[str], known: Iterable[Target]) -> tuple[Target, ...]:
    """The targets of these names, in that order; all for no names. Raises BenchError for an unknown one."""
    by_name = {target.name: target for target in known}
    if unknown := [name for name in names if name not in by_name]:
        raise BenchError(f"no server {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) if names else tuple(by_name.values())


def present(targets: Iterable[Target]) -> tuple[list[Target], dict[str, str]]:
    """Those that can be started here, and why the others cannot, by name."""
    found, skipped = [], {}
    for target in targets:
        reason = target.missing()
        if reason:
            skipped[target.name] = reason
        else:
            found.append(target)
    return found, skipped
