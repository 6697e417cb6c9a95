"""`scan`, both twins: what it lets through every library can decode, what it refuses, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, ProtocolError
from fastchat.protocol import forms
from fastchat.protocol.rules import FAULTS, MAX_DEPTH, Limits
from tests.twins import twins

TWINS = twins("fastchat.protocol._codec", "fastchat.protocol._codec_py")
both = pytest.mark.parametrize("codec", TWINS)
MODULES = [param.values[0] for param in TWINS if not param.marks]
LIMITS = Limits()
SUITE = json.loads((Path(__file__).parent.parent / "vectors" / "msgpack-test-suite.json").read_text())
ENCODINGS = [
    bytes.fromhex(encoding.replace("-", ""))
    for group in SUITE["groups"].values()
    for case in group
    for encoding in case["msgpack"]
]


def fault(codec: Any, payload: bytes, limits: Limits = LIMITS) -> str:
    """The text of the refusal, "" where there is none."""
    try:
        codec.scan(payload, limits)
    except ProtocolError as error:
        assert (error.code, error.id, error.field) == (Code.MALFORMED, 0, None)
        return error.text
    return ""


def test_the_suite_is_whole() -> None:
    assert len(ENCODINGS) == 233


@both
def test_every_encoding_of_the_suite_passes_and_no_part_of_it(codec: Any) -> None:
    for encoding in ENCODINGS:
        assert fault(codec, encoding) == ""
        assert fault(codec, encoding + b"\xc0") == FAULTS[2]
        for end in range(len(encoding)):
            assert fault(codec, encoding[:end]) == FAULTS[1]


def test_every_first_byte_has_a_form() -> None:
    """Against the library: a value of each first byte, zeroes behind, has the size that the table says."""
    for first in range(256):
        if first == 0xC1:
            assert forms.KIND[first] == forms.NEVER
            continue
        unpacker = msgpack.Unpacker(strict_map_key=False, ext_hook=lambda type, body: None)
        unpacker.feed(bytes((first,)) + bytes(40))
        unpacker.skip()
        count = forms.SIZE[first]
        expected = {
            forms.SCALAR: count,
            forms.STR: 1 + forms.WIDE[first] + count,
            forms.BIN: 1 + forms.WIDE[first],
            forms.EXT: 2 + forms.WIDE[first] + count,
            forms.ARRAY: 1 + forms.WIDE[first] + count,
            forms.MAP: 1 + forms.WIDE[first] + 2 * count,
        }
        assert unpacker.tell() == expected[forms.KIND[first]], hex(first)


BROKEN = {
    "empty": ("", 1),
    "0xc1": ("c1", 6),
    "0xc1 inside": ("92c0c1", 6),
    "array of 2^32-1": ("ddffffffff", 4),
    "map of 2^32-1": ("dfffffffff", 4),
    "str of 2^32-1": ("dbffffffff", 1),
    "bin of 2^32-1": ("c6ffffffff", 1),
    "ext of 2^32-1": ("c9ffffffff05", 1),
    "array of 4097": ("dc1001" + "c0" * 4097, 4),
    "map of 2049 pairs": ("de0801" + "c0" * 4098, 4),
    "elements count over all levels": ("92dc0800" + "c0" * 2048 + "dc0800" + "c0" * 2048, 4),
    "33 arrays deep": ("91" * 33 + "c0", 3),
    "33 maps deep": ("81c0" * 33 + "c0", 3),
    "a million arrays deep": ("91" * 1_000_000, 3),
    "array as a map key": ("8191c0c0", 7),
    "map as a map key": ("818081", 7),
    "empty array as the second key": ("82c0c090c0", 7),
    "str that is not UTF-8": ("a1ff", 5),
    "str cut inside a character": ("a2e282", 5),
    "overlong": ("a2c080", 5),
    "overlong of 3 bytes": ("a3e08080", 5),
    "overlong of 4 bytes": ("a4f0808080", 5),
    "surrogate": ("a3eda080", 5),
    "beyond U+10FFFF": ("a4f4908080", 5),
    "continuation first": ("a180", 5),
    "0xff after eight ASCII": ("a96161616161616161ff", 5),
    "bad UTF-8 in a map key": ("81a1ffc0", 5),
    "timestamp of 5 bytes": ("c705ff0000000000", 8),
    "timestamp with 10^9 ns": ("d7ffee6b280000000000", 8),
    "timestamp 96 with 10^9 ns": ("c70cff3b9aca000000000000000000", 8),
    "reserved ext -2": ("d4fe00", 8),
    "reserved ext -128": ("c70080", 8),
}


@both
@pytest.mark.parametrize("hex,number", BROKEN.values(), ids=list(BROKEN))
def test_what_is_refused(codec: Any, hex: str, number: int) -> None:
    assert fault(codec, bytes.fromhex(hex)) == FAULTS[number]


SOUND = {
    "4096 elements": "dc1000" + "c0" * 4096,
    "2048 pairs": "de0800" + "c0" * 4096,
    "32 arrays deep": "91" * 31 + "90",
    "timestamp 32": "d6ff00000000",
    "timestamp 64": "d7ffee6b27fc00000000",
    "timestamp 96": "c70cff3b9ac9ff0000000000000000",
    "ext 0 and 127": "92d400ffc7007f",
    "U+10FFFF, U+D7FF, U+E000": "aaf48fbfbfed9fbfee8080",
    "any scalar as a map key": "87c001c301ca3f8000000101ff01c40101d6ff0000000001d4050001",
    "containers as map values": "82c091c0c381c080",
}


@both
@pytest.mark.parametrize("hex", SOUND.values(), ids=list(SOUND))
def test_what_passes(codec: Any, hex: str) -> None:
    payload = bytes.fromhex(hex)
    assert fault(codec, payload) == ""
    msgpack.unpackb(payload, strict_map_key=False, use_list=False)


@both
def test_limits_are_kept_exactly(codec: Any) -> None:
    nested = bytes.fromhex("9192c0c0")  # two deep, three elements
    assert fault(codec, nested, Limits(2, 3)) == ""
    assert fault(codec, nested, Limits(1, 3)) == FAULTS[3]
    assert fault(codec, nested, Limits(2, 2)) == FAULTS[4]
    assert fault(codec, b"\x81\xc0\xc0", Limits(1, 1)) == FAULTS[4]
    assert fault(codec, b"\xc0", Limits(0, 0)) == ""
    assert fault(codec, b"\x90", Limits(0, 0)) == FAULTS[3]


@both
def test_no_configuration_lets_the_walk_recurse_further(codec: Any) -> None:
    boundless = Limits(10**6, 10**9)
    assert fault(codec, b"\x91" * MAX_DEPTH + b"\xc0", boundless) == ""
    assert fault(codec, b"\x91" * (MAX_DEPTH + 1) + b"\xc0", boundless) == FAULTS[3]


@both
def test_utf8_is_what_python_says_it_is(codec: Any) -> None:
    for first in range(256):
        for second in range(0, 256, 3):
            for tail in (b"", b"\x80", b"\x80\x80", b"\xbf\xc0"):
                text = bytes((first, second)) + tail
                try:
                    text.decode()
                    valid = True
                except UnicodeDecodeError:
                    valid = False
                assert (fault(codec, bytes((0xA0 + len(text),)) + text) == "") is valid, text


@given(st.binary(max_size=60))
def test_twins_agree_on_any_bytes(payload: bytes) -> None:
    told = [fault(codec, payload) for codec in MODULES]
    assert len(set(told)) == 1
    if not told[0]:
        msgpack.unpackb(payload, strict_map_key=False)


@given(st.data())
def test_twins_agree_on_broken_encodings(data: st.DataObject) -> None:
    payload = bytearray(b"\x93" + b"".join(data.draw(st.sampled_from(ENCODINGS)) for _ in range(3)))
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    told = [fault(codec, bytes(payload)) for codec in MODULES]
    assert len(set(told)) == 1
    if not told[0]:
        msgpack.unpackb(bytes(payload), strict_map_key=False)
