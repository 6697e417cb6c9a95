"""The JSON form: nothing is lost on the way there and back, and nothing else comes out than MALFORMED."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import decode_command, encode_command, pack
from fastchat.protocol.jsonwire import from_json, to_json
from fastchat.protocol.messages import Publish
from fastchat.protocol.rules import MAX_DEPTH, Limits
from tests.protocol.test_commands import COMMANDS

LIMITS = Limits()
WIDE = Limits(MAX_DEPTH, 100_000)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.just(math.nan)  # which of the many NaNs it was is not kept
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
    | st.builds(msgpack.Timestamp, st.integers(0, 2**40), st.integers(0, 10**9 - 1))
)
tricky = st.sampled_from(["$bin", "$$bin", "$ext", "$float", "$map", "$$map", "$", "$other", "bin"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(scalars, inner, max_size=4)
        | st.dictionaries(tricky, inner, max_size=2)
    ),
    max_leaves=15,
)


@given(values)
def test_msgpack_to_json_and_back_is_the_same_bytes(value: Any) -> None:
    payload = pack(value)
    text = to_json(payload)
    json.loads(text, parse_constant=pytest.fail)  # RFC 8259, without NaN and Infinity
    assert from_json(text, WIDE) == payload


@given(COMMANDS)
def test_commands_take_the_same_way_in(command: Any) -> None:
    payload = encode_command(command)
    assert decode_command(from_json(to_json(payload), LIMITS), LIMITS) == command


def test_a_command_as_a_browser_writes_it() -> None:
    text = json.dumps([4, 7, "lobby", {"text": "é😀", "raw": {"$bin": "AAE="}}, {"key": "k"}])
    command = decode_command(from_json(text.encode(), LIMITS), LIMITS)
    assert command == Publish(7, "lobby", pack({"text": "é😀", "raw": b"\0\1"}), "k")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_msgpack_or_malformed(text: bytes) -> None:
    try:
        payload = from_json(text, LIMITS)
    except ProtocolError as error:
        assert (error.code, error.id) == (Code.MALFORMED, 0)
        assert error.text
    else:
        msgpack.unpackb(payload, strict_map_key=False)


ALPHABET = st.sampled_from(
    ['"', "[", "]", "{", "}", ":", ",", "1", "-", "e9", "\\ud800", "\\u0024bin", "$bin", "$ext", "$map",
     "$float", "nan", "null", "true", " ", "AA=="]
)  # fmt: skip


@given(st.lists(ALPHABET, max_size=30).map("".join))
def test_things_that_look_like_json_are_msgpack_or_malformed(text: str) -> None:
    try:
        from_json(text.encode(), LIMITS)
    except ProtocolError as error:
        assert error.code is Code.MALFORMED


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"$map":[["a",'])
@pytest.mark.parametrize("depth", [33, 300, 5000, 200_000])
def test_no_depth_breaks_anything(opening: str, depth: int) -> None:
    for text in (opening * depth, opening * depth + "0" + "]" * depth):
        with pytest.raises(ProtocolError):
            from_json(text.encode(), LIMITS)


def test_limits_are_those_of_the_msgpack_it_means() -> None:
    deepest = b"[" * 32 + b'{"$bin":"AA=="}' + b"]" * 32  # the wrapper is no level of its own
    assert from_json(deepest, LIMITS) == b"\x91" * 32 + b"\xc4\x01\x00"
    with pytest.raises(ProtocolError, match="deeper"):
        from_json(b"[" + deepest + b"]", LIMITS)
    with pytest.raises(ProtocolError, match="more elements"):
        from_json(b"[0" + b",0" * 4096 + b"]", LIMITS)
    assert len(from_json(b"[0" + b",0" * 4095 + b"]", LIMITS)) == 4096 + 3


def test_the_deepest_configuration_goes_through_both_ways() -> None:
    for payload in (b"\x91" * (MAX_DEPTH - 1) + b"\x90", b"\x81\x01" * (MAX_DEPTH - 1) + b"\x80"):
        assert from_json(to_json(payload), WIDE) == payload


def test_refusals_do_not_echo_what_came() -> None:
    for text in (
        b'{"secret":1,"secret":2}', b'["secret', b'{"$bin":"secret!"}', b'"secret\xff"',
        b'{"$float":"secret"}',
    ):  # fmt: skip
        with pytest.raises(ProtocolError) as refused:
            from_json(text, LIMITS)
        assert "secret" not in refused.value.text


@given(st.binary(max_size=300))
def test_bin_is_standard_base64(body: bytes) -> None:
    assert json.loads(to_json(pack(body))) == {"$bin": base64.b64encode(body).decode()}
