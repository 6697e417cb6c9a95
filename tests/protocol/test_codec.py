"""The hot half of the codec, both twins: commands against the table, encoders against the plain library."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, ProtocolError
from fastchat.protocol import codec as chosen
from fastchat.protocol.messages import Ping, Pong, Publish
from fastchat.protocol.rules import FAULTS, Limits
from tests.twins import twins

TWINS = twins("fastchat.protocol._codec", "fastchat.protocol._codec_py")
both = pytest.mark.parametrize("codec", TWINS)
MODULES = [param.values[0] for param in TWINS if not param.marks]
LIMITS = Limits()
UINTS = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, 2**64 - 1]
uints = st.sampled_from(UINTS) | st.integers(0, 2**64 - 1)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
    | st.builds(msgpack.Timestamp, st.integers(-(2**62), 2**62), st.integers(0, 10**9 - 1))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(scalars, inner, max_size=5),
    max_leaves=15,
)
OPTIONS = ["key", "echo", "ephemeral", "ttl_ms", "reply_to", "mentions", "more"]
messages = st.one_of(
    st.lists(values, min_size=1, max_size=10),
    st.tuples(
        st.sampled_from([1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 13, 14, 16, 17, 99]),
        st.integers(0, 2**32) | scalars,
        st.sampled_from(["lobby", "a b", "x" * 65]) | scalars,
        values,
        values | st.dictionaries(st.sampled_from(OPTIONS), scalars | st.lists(scalars, max_size=3)),
    ),
)


def told(codec: Any, payload: bytes, limits: Limits = LIMITS) -> str:
    try:
        return repr(codec.decode_command(payload, limits))
    except ProtocolError as error:
        return repr((error.code, error.text, error.field, error.id, error.retry_ms))


@given(messages)
def test_twins_agree_on_every_message(message: Any) -> None:
    payload = msgpack.packb(message)
    assert len({told(codec, payload) for codec in MODULES}) == 1


@given(messages, st.data())
def test_twins_agree_on_broken_messages(message: Any, data: st.DataObject) -> None:
    payload = bytearray(msgpack.packb(message))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(payload)))
    assert len({told(codec, bytes(payload[:end])) for codec in MODULES}) == 1


@given(values)
def test_data_is_relayed_byte_for_byte(value: Any) -> None:
    data = msgpack.packb(value)
    for codec in MODULES:
        command = codec.decode_command(b"\x94\x04\x01\xa5lobby" + data, LIMITS)
        assert command == Publish(1, "lobby", data)
        assert type(command) is Publish


@given(
    st.text(min_size=1, max_size=64), st.booleans(), st.booleans(), st.integers(0, 2**53 - 1),
    st.integers(0, 2**53 - 1), st.lists(st.sampled_from(["ada", "bob", "Ádá", "x" * 32]), unique=True),
)  # fmt: skip
def test_publish_options(
    key: str, echo: bool, ephemeral: bool, ttl_ms: int, reply_to: int, mentions: list[str]
) -> None:
    sent = Publish(2**32 - 1, "a:b/c", b"\xc0", key, echo, ephemeral, ttl_ms, reply_to, tuple(mentions))
    payload = chosen.encode_command(sent)
    for codec in MODULES:
        got = codec.decode_command(payload, LIMITS)
        assert got == sent
        assert [type(value) for value in got] == [int, str, bytes, str, bool, bool, int, int, tuple]


@both
def test_ids_in_every_form(codec: Any) -> None:
    for form in ("05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005", "d10005", "d200000005"):
        assert codec.decode_command(bytes.fromhex("9210" + form), LIMITS) == Ping(5)
        assert codec.decode_command(bytes.fromhex("9211" + form), LIMITS) == Pong(5)
    assert codec.decode_command(bytes.fromhex("9210ceffffffff"), LIMITS) == Ping(2**32 - 1)


@both
def test_the_operation_in_every_form(codec: Any) -> None:
    for form in ("10", "cc10", "cd0010", "ce00000010", "cf0000000000000010", "d010", "d10010", "d200000010"):
        assert codec.decode_command(bytes.fromhex("92" + form + "05"), LIMITS) == Ping(5)


@both
def test_limits_count_the_message_itself(codec: Any) -> None:
    payload = msgpack.packb([4, 1, "lobby", [[1]]])  # 3 deep, 6 elements
    assert codec.decode_command(payload, Limits(3, 6)).data == b"\x91\x91\x01"
    assert FAULTS[3] in told(codec, payload, Limits(2, 6))
    assert FAULTS[4] in told(codec, payload, Limits(3, 5))
    assert FAULTS[3] in told(codec, payload, Limits(0, 6))


@both
def test_elements_far_behind_are_checked_too(codec: Any) -> None:
    many = msgpack.packb([16, 1, *range(20)])
    assert codec.decode_command(many, LIMITS) == Ping(1)
    assert FAULTS[6] in told(codec, many[:-1] + b"\xc1")
    assert FAULTS[1] in told(codec, many[:-1])
    assert FAULTS[2] in told(codec, many + b"\x00")


@both
def test_only_bytes_are_decoded(codec: Any) -> None:
    if codec.__name__.endswith("_py"):
        pytest.skip("the pure twin relies on its types")
    for wrong in (None, "x", bytearray(b"\x92\x10\x01")):
        with pytest.raises(TypeError):
            codec.decode_command(wrong, LIMITS)
    with pytest.raises(TypeError):
        codec.decode_command(b"\x92\x10\x01", None)


@given(uints, uints)
def test_ping_result(id: int, time: int) -> None:
    for codec in MODULES:
        assert codec.ping_result(id, time) == msgpack.packb([64, id, {"time": time}])


@given(uints, uints, uints)
def test_publish_result(id: int, offset: int, ts: int) -> None:
    for codec in MODULES:
        made = codec.publish_result(id, offset, ts)
        assert made == msgpack.packb([64, id, {"offset": offset, "ts": ts}])
        made = codec.publish_result(id, offset, ts, True)
        assert made == msgpack.packb([64, id, {"offset": offset, "ts": ts, "duplicate": True}])


@given(st.text(max_size=64), uints, uints, st.text(max_size=32), values, st.booleans())
def test_message_and_entry(room: str, offset: int, ts: int, user: str, data: Any, plain: bool) -> None:
    opts = {} if plain else {"ephemeral": True}
    packed = [msgpack.packb(value) for value in (room, user, data, opts)]
    for codec in MODULES:
        made = codec.message(packed[0], offset, ts, packed[1], packed[2], packed[3])
        assert made == msgpack.packb([66, room, offset, ts, user, data, opts])
        assert codec.entry(offset, ts, *packed[1:]) == msgpack.packb([offset, ts, user, data, opts])
        if plain:
            assert codec.message(packed[0], offset, ts, packed[1], packed[2]) == made


@both
@pytest.mark.parametrize("wrong", [-1, 2**64])
def test_encoders_refuse_what_is_no_unsigned_integer(codec: Any, wrong: int) -> None:
    for call, arguments in (
        (codec.ping_result, (wrong, 1)),
        (codec.ping_result, (1, wrong)),
        (codec.publish_result, (1, wrong, 1)),
        (codec.message, (b"\xa0", wrong, 1, b"\xa0", b"\xc0")),
        (codec.entry, (1, wrong, b"\xa0", b"\xc0")),
    ):
        with pytest.raises(OverflowError):
            call(*arguments)


@given(values)
def test_unpack_is_the_plain_library_after_the_scan(value: Any) -> None:
    payload = chosen.pack(value)
    assert repr(chosen.unpack(payload)) == repr(msgpack.unpackb(payload, strict_map_key=False))


@given(st.binary(max_size=50))
def test_unpack_and_decode_push_raise_one_error_alone(payload: bytes) -> None:
    for read in (chosen.unpack, chosen.decode_push):
        try:
            read(payload)
        except ProtocolError as error:
            assert error.code is Code.MALFORMED
