"""Turn a value of a TOML file, a variable or a flag into a field's type, or say what was expected.

Strict: a TOML string is never taken for a number, and true is never taken for 1.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any

from fastchat.errors import ConfigError

SWITCH = dict.fromkeys(("on", "true", "yes", "1"), True) | dict.fromkeys(("off", "false", "no", "0"), False)
TEXTS = tuple[str, ...]

EXPECTED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    str | None: "a string",
    TEXTS: "a list of strings",
}


def typed(key: str, hint: Any, value: object, where: str) -> object:
    """Check a value that already has a type against the field's; `where` begins the error's text."""
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    if hint is str and isinstance(value, str):
        return value
    if hint == str | None and isinstance(value, str):
        return value or None  # TOML has no null: "" stands for none
    if hint == TEXTS and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice(key, hint, value, where)
    raise ConfigError(f"{where}: {key} must be {EXPECTED[hint]}, not {_shown(value)}")


def from_text(key: str, hint: Any, text: str, where: str) -> object:
    """Read a variable's or a flag's text as the field's type; a list is separated by commas."""
    text = text.strip()
    value: object = text
    if hint is bool:
        value = SWITCH.get(text.lower(), text)
    elif hint is int and re.fullmatch(r"[+-]?[0-9][0-9_]*", text):
        value = int(text.replace("_", ""))
    elif hint is float:
        value = _number(text)
    elif hint == TEXTS:
        value = tuple(item.strip() for item in text.split(",") if item.strip())
    return typed(key, hint, value, where)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _choice(key: str, kind: type[Enum], value: object, where: str) -> Enum:
    if isinstance(value, kind):
        return value
    for member in kind:
        if member.value == value:
            return member
    choices = ", ".join(repr(member.value) for member in kind)
    raise ConfigError(f"{where}: {key} must be one of {choices}, not {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
