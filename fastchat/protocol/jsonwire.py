"""The same messages as JSON text, for the subprotocol fastchat.v1.json.

Invariant: what JSON cannot say is wrapped in an object with one reserved key (PROTOCOL, "JSON"), so a value
survives msgpack -> JSON -> msgpack; what cannot be read without guessing is refused with MALFORMED.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from typing import Any, NamedTuple, NoReturn

from ..errors import Code, ProtocolError
from .codec import scan
from .rules import Limits
from .values import Timestamp, array_of, ext_of, load_with, map_of, pack

# {"$bin": base64}, {"$ext": [type, base64]}, {"$float": "nan" | "inf" | "-inf"}, {"$map": [[key, value]...]};
# a map of the user's own that looks like one of them gets one more "$" before its key
RESERVED = re.compile(r"\$+(?:bin|ext|float|map)")
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class _Refused(ValueError):
    """The text is JSON, but not a message's; says why."""


class _Ext(NamedTuple):
    type: int
    body: bytes


class _Map(NamedTuple):
    pairs: list[tuple[Any, Any]]


def _base64(body: bytes) -> str:
    return b64encode(body).decode("ascii")


def _object(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Make what JSON can say of a msgpack map: an object, if its keys are strings that occur once."""
    if not all(type(key) is str for key, _ in pairs):
        return {"$map": pairs}
    made = dict(pairs)
    if len(made) != len(pairs):
        return {"$map": pairs}
    if len(pairs) == 1 and RESERVED.fullmatch(pairs[0][0]):
        return {"$" + pairs[0][0]: pairs[0][1]}
    return made


def _ext(type: int, body: bytes) -> dict[str, Any]:
    return {"$ext": [type, _base64(body)]}


def _foreign(value: object) -> dict[str, Any]:
    """Wrap what `json` does not know."""
    if isinstance(value, Timestamp):
        return _ext(-1, value.to_bytes())
    if isinstance(value, bytes):
        return {"$bin": _base64(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _finite(value: Any) -> Any:
    """Wrap the floats that JSON cannot say, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": "nan" if math.isnan(value) else f"{value:f}"}
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_foreign
).encode


def to_json(payload: bytes) -> bytes:
    """Write a msgpack payload of ours, which is valid, as UTF-8 JSON text."""
    value = load_with(payload, _object, _ext)
    try:
        text = _encode(value)
    except ValueError:  # a float that is not finite: rare, so only then is the value walked
        text = _encode(_finite(value))
    return text.encode()


def _unwrap(pairs: list[tuple[str, Any]]) -> Any:
    """Read a JSON object, which may be a wrapper; _Refused for a duplicate key or a bad wrapper."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Refused("a key occurs twice in an object")
    if len(pairs) != 1 or RESERVED.fullmatch(pairs[0][0]) is None:
        return made
    key, value = pairs[0]
    if key.startswith("$$"):
        return {key[1:]: value}
    return _WRAPPERS[key](value)


def _bin(value: Any) -> bytes:
    if type(value) is not str:
        raise _Refused("$bin takes base64")
    return b64decode(value, validate=True)


def _wrapped_ext(value: Any) -> _Ext:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not int or not -128 <= value[0] <= 127:
        raise _Refused("$ext takes [type, base64]")
    return _Ext(value[0], _bin(value[1]))


def _float(value: Any) -> float:
    if type(value) is not str or value not in FLOATS:
        raise _Refused('$float takes "nan", "inf" or "-inf"')
    return FLOATS[value]


def _pairs(value: Any) -> _Map:
    if type(value) is not list or not all(type(pair) is list and len(pair) == 2 for pair in value):
        raise _Refused("$map takes [[key, value]...]")
    return _Map([(key, one) for key, one in value])


_WRAPPERS = {"$bin": _bin, "$ext": _wrapped_ext, "$float": _float, "$map": _pairs}


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused("a number is too large")
    return value


def _no_constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_unwrap, parse_float=_number, parse_constant=_no_constant).decode


def _packed(value: Any) -> bytes:
    """Pack what `_decode` made."""
    if type(value) is dict:
        return map_of([(pack(key), _packed(one)) for key, one in value.items()])
    if type(value) is list:
        return array_of([_packed(one) for one in value])
    if type(value) is _Map:
        return map_of([(_packed(key), _packed(one)) for key, one in value.pairs])
    if type(value) is _Ext:
        return ext_of(value.type, value.body)
    return pack(value)


def from_json(text: bytes, limits: Limits) -> bytes:
    """Read UTF-8 JSON text into a msgpack payload within `limits`.

    Raises ProtocolError MALFORMED, and nothing else, whatever the bytes.
    """
    try:
        value = _decode(text.decode())
        # without a wrapper in the text the library packs it all at once
        payload = _packed(value) if b"$" in text or b"\\u0024" in text else pack(value)
    except (RecursionError, ValueError, OverflowError, TypeError) as wrong:
        raise _malformed(wrong) from None
    scan(payload, limits)
    return payload


def fields_from_json(text: bytes, limits: Limits) -> dict[str, bytes]:
    """Read a UTF-8 JSON object; each of its values is a msgpack payload within `limits`.

    Raises ProtocolError MALFORMED, and nothing else, whatever the bytes.
    """
    try:
        value = _decode(text.decode())
        if type(value) is not dict:
            raise _Refused("not an object")
        fields = {key: _packed(one) for key, one in value.items()}
    except (RecursionError, ValueError, OverflowError, TypeError) as wrong:
        raise _malformed(wrong) from None
    for payload in fields.values():
        scan(payload, limits)
    return fields


def _malformed(wrong: Exception) -> ProtocolError:
    if isinstance(wrong, RecursionError):
        return ProtocolError(Code.MALFORMED, "nested deeper than the limit")
    return ProtocolError(Code.MALFORMED, f"not the JSON of a message: {_reason(wrong)}")


def _reason(wrong: Exception) -> str:
    """Say what was wrong, without echoing what came."""
    if isinstance(wrong, UnicodeError):
        return "the text is not valid UTF-8, or has half of a surrogate pair"
    if isinstance(wrong, json.JSONDecodeError):
        return f"{wrong.msg} at {wrong.pos}"
    if isinstance(wrong, _Refused):
        return str(wrong)
    return "an integer has more than 64 bits, or base64 is broken"
