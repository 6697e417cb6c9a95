"""Read fastchat.toml, the environment and flags into one `Config`.

Later wins: defaults, file, environment, flags. Nothing is passed over in silence: what is unknown, of the
wrong type or contradictory is a ConfigError that says where it stands and what was probably meant.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from fastchat.config import Config, RoomOptions
from fastchat.errors import ConfigError
from fastchat.settings_checks import check
from fastchat.settings_values import from_text, typed

PREFIX = "FASTCHAT_"  # of environment variables: FASTCHAT_PORT, FASTCHAT_FLUSH_BUDGET_MS, ...
FILE_VARIABLE = "FASTCHAT_CONFIG"  # names the file where no path is given
NOT_SETTINGS = {  # other FASTCHAT_ variables
    "CONFIG", "PURE", "REQUIRE_EXT", "CFLAGS", "URL", "NAME", "TOKEN", "TOKEN_SECRET"
}  # fmt: skip
SECRET = "token_secret"  # is none either: a secret comes from a file of its own, or from the environment
TYPO = 0.8  # likeness from which an unknown variable is taken for a misspelt one, not for somebody else's

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "listen": (
        "host", "port", "unix", "tls_cert", "tls_key", "allow_insecure_bind", "origins", "backlog", "node",
        "drain_seconds",
    ),
    "identity": (
        "guests", "token_algorithm", "token_keys", "token_jwks", "token_audience", "token_issuer",
        "token_max_seconds",
    ),
    "connections": (
        "max_connections", "connections_per_address", "exempt_addresses", "connect_seconds", "ping_ms",
        "linger_seconds",
    ),
    "limits": (
        "max_frame", "max_depth", "max_elements", "max_rooms", "rate_limits",
        "join_rate", "join_burst", "read_rate", "read_burst",
    ),
    "outbox": ("outbox_bytes", "total_bytes", "batch_bytes", "sndbuf", "notsent_lowat"),
    "flush": ("backend", "flush_budget_ms", "flush_sends", "flush_ms"),
    "capacity": (
        "latency_limit_ms", "admission", "connect_utilisation", "publish_utilisation", "reserved_addresses",
    ),
    "store": ("engine", "data", "store_queue_bytes"),
    "memory": ("history_total_bytes", "idempotency_seconds", "idempotency_bytes"),
    "moderation": ("hook", "hook_seconds", "hook_failure"),
}  # fmt: skip
ROOMS = "rooms"  # the section of namespaces: [rooms.default], [rooms.game], ...
SECTION_OF = {key: section for section, keys in SECTIONS.items() for key in keys}

CONFIG_TYPES: Mapping[str, Any] = get_type_hints(Config)
ROOM_TYPES: Mapping[str, Any] = get_type_hints(RoomOptions)
ROOM_KEYS = tuple(field.name for field in fields(RoomOptions))
NAMESPACE = re.compile(r"[A-Za-z0-9._/-]{1,63}")  # what may stand before the first ":" of a room's name

HEADER = re.compile(r"\s*\[([^\[\]]+)\]")


@dataclass(slots=True)
class Gathered:
    """What the sources have said so far; later ones overwrite."""

    values: dict[str, object]
    rooms: dict[str, dict[str, object]]


def load(
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    engine: str = "",
) -> Config:
    """Read every source into a checked `Config`.

    `flags` are by field name, as text or typed; None means not given. `flags["rooms"]` is a list of
    "NAMESPACE.OPTION=VALUE". Without `path` the file is the one that FASTCHAT_CONFIG names, if any.
    `engine` is the one to use where none is named.
    """
    environ = environ or {}
    gathered = Gathered({}, {})
    path = path or environ.get(FILE_VARIABLE) or None
    if path is not None:
        _read_file(Path(path), gathered)
    _read_environment(environ, gathered)
    _read_flags(flags or {}, gathered)
    gathered.values["engine"] = gathered.values.get("engine") or engine
    config = Config(**gathered.values, rooms=_rooms(gathered.rooms))  # type: ignore[arg-type]
    check(config)
    return config


def _read_file(path: Path, gathered: Gathered) -> None:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    for section, table in document.items():
        where = _position(path, text, section)
        if section in SECTION_OF and section not in SECTIONS:
            raise ConfigError(f"{where}: {section!r} belongs under [{SECTION_OF[section]}]")
        if section != ROOMS and section not in SECTIONS:
            raise ConfigError(f"{where}: unknown section [{section}]{_meant(section, (*SECTIONS, ROOMS))}")
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: {section!r} is a section: write [{section}]")
        if section == ROOMS:
            _read_rooms(path, text, table, gathered)
            continue
        for key, value in table.items():
            where = _position(path, text, section, key)
            _known(key, SECTIONS[section], where)
            gathered.values[key] = typed(key, CONFIG_TYPES[key], value, where)


def _read_rooms(path: Path, text: str, table: Mapping[str, object], gathered: Gathered) -> None:
    for namespace, options in table.items():
        where = _position(path, text, f"{ROOMS}.{namespace}")
        if namespace in ROOM_KEYS:
            raise ConfigError(f"{where}: {namespace!r} belongs under [rooms.default] or another namespace")
        if not isinstance(options, dict):
            raise ConfigError(f"{where}: {namespace!r} is a namespace: write [rooms.{namespace}]")
        _namespace(namespace, where)
        room = gathered.rooms.setdefault(namespace, {})
        for key, value in options.items():
            where = _position(path, text, f"{ROOMS}.{namespace}", key)
            _known(key, ROOM_KEYS, where)
            room[key] = typed(key, ROOM_TYPES[key], value, where)


def _read_environment(environ: Mapping[str, str], gathered: Gathered) -> None:
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX)
        key = name.lower()
        if key in SECTION_OF and name.isupper():
            gathered.values[key] = from_text(key, CONFIG_TYPES[key], text, variable)
            continue
        close = difflib.get_close_matches(name, [known.upper() for known in SECTION_OF], 1, TYPO)
        if close and name not in NOT_SETTINGS:
            raise ConfigError(f"{variable}: unknown variable; did you mean {PREFIX}{close[0]}?")


def _read_flags(flags: Mapping[str, object], gathered: Gathered) -> None:
    for key, value in flags.items():
        if value is None:
            continue
        if key == ROOMS:
            _read_room_flags(value, gathered)
            continue
        where = f"--set {key}"
        _known(key, tuple(SECTION_OF), where)
        hint = CONFIG_TYPES[key]
        if isinstance(value, str):
            gathered.values[key] = from_text(key, hint, value, where)
        else:
            gathered.values[key] = typed(key, hint, value, where)


def _read_room_flags(value: object, gathered: Gathered) -> None:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"--room: expected a list of NAMESPACE.OPTION=VALUE, got {value!r}")
    for item in value:
        name, equals, text = str(item).partition("=")
        namespace, dot, key = name.rpartition(".")
        where = f"--room {item}"
        if not (equals and dot):
            raise ConfigError(f"{where}: expected NAMESPACE.OPTION=VALUE, as in game.policy=latest")
        _namespace(namespace, where)
        _known(key, ROOM_KEYS, where)
        gathered.rooms.setdefault(namespace, {})[key] = from_text(key, ROOM_TYPES[key], text, where)


def _rooms(gathered: Mapping[str, Mapping[str, Any]]) -> dict[str, RoomOptions]:
    """Every namespace's options: what it does not say it takes from "default"."""
    default = RoomOptions(**gathered.get("default", {}))
    return {"default": default} | {
        namespace: replace(default, **options)
        for namespace, options in gathered.items()
        if namespace != "default"
    }


def _namespace(name: str, where: str) -> None:
    if not NAMESPACE.fullmatch(name):
        raise ConfigError(f"{where}: {name!r} cannot be a namespace: 1 to 63 of a-z A-Z 0-9 . _ / -")


def _known(key: str, known: tuple[str, ...], where: str) -> None:
    if key in known:
        return
    if key == SECRET:
        raise ConfigError(
            f"{where}: others can read what stands here: put the secret into a file that token_keys names,"
            f" or into the variable {PREFIX}{SECRET.upper()}"
        )
    if key in SECTION_OF and SECTION_OF[key] not in where:
        raise ConfigError(f"{where}: {key!r} belongs under [{SECTION_OF[key]}]")
    raise ConfigError(f"{where}: unknown key {key!r}{_meant(key, known)}")


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _position(path: Path, text: str, section: str, key: str = "") -> str:
    """Where it stands, for people: tomllib keeps no lines, so headers and keys are looked for again.

    Without `key`, `section` is a header or a key above the first header.
    """
    place = f"{path}, [{section}]" if key else str(path)
    home = section if key else ""
    assignment = re.compile(rf"""\s*["']?{re.escape(key or section)}["']?\s*=""")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = HEADER.match(line)
        if header:
            current = re.sub(r"""["'\s]""", "", header[1])
        if (header and not key and current == section) or (current == home and assignment.match(line)):
            return f"{path}, line {number}" + (f", [{section}]" if key else "")
    return place
