"""The codec, both twins, beside the plain library with hand-made checks (and msgspec where it is installed).

    pytest benchmarks/bench_codec.py --benchmark-enable --benchmark-group-by=group

The plain library has to decode and encode again what is only relayed, or to trust it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from fastchat.protocol import codec, jsonwire
from fastchat.protocol.messages import Direct, Ping, Publish
from fastchat.protocol.rules import MAX_ID, Limits
from tests.twins import twins

LIMITS = Limits()
TEXT = codec.pack("x" * 98)  # 100 bytes
MEDIA = codec.pack(
    {"type": "image", "url": "/uploads/0123456789abcdef.png", "size": [640, 480], "alt": "a cat"}
)
ROOM, USER, TS = codec.pack("lobby"), codec.pack("ada"), 1_790_000_000_000
COMMANDS = {
    "PING": Ping(7),
    "PUBLISH of 100 bytes": Publish(7, "lobby", TEXT),
    "PUBLISH of a map with options": Publish(7, "lobby", MEDIA, "key-1", False),
    "DIRECT (not hot: the table in Python)": Direct(7, "bob", TEXT),
}
TWINS = twins("fastchat.protocol._codec", "fastchat.protocol._codec_py")


def plain_decode(payload: bytes, limits: Limits) -> Any:
    """What a server without a codec of its own does for PING, PUBLISH and DIRECT."""
    array = msgpack.unpackb(
        payload, max_array_len=limits.elements, max_map_len=limits.elements, strict_map_key=False
    )
    if type(array) is not list or len(array) < 2 or type(array[0]) is not int:
        raise ValueError("malformed")
    op, id = array[0], array[1]
    if type(id) is not int or not 0 <= id <= MAX_ID:
        raise ValueError("id")
    if op == 16:
        return Ping(id)
    if len(array) < 4 or type(array[2]) is not str:
        raise ValueError("argument")
    opts = array[4] if len(array) > 4 else {}
    if type(opts) is not dict:
        raise ValueError("opts")
    key = opts.get("key")
    if key is not None and type(key) is not str:
        raise ValueError("key")
    data = msgpack.packb(array[3])
    if op == 5:
        return Direct(id, array[2], data, key)
    echo, ephemeral = opts.get("echo", True), opts.get("ephemeral", False)
    if type(echo) is not bool or type(ephemeral) is not bool:
        raise ValueError("option")
    return Publish(id, array[2], data, key, echo, ephemeral, opts.get("ttl_ms", 0))


def msgspec_decode() -> Callable[[bytes, Limits], Any] | None:
    """A typed msgspec decoder for PUBLISH and PING; it trusts what it relays. None if not installed."""
    try:
        msgspec = importlib.import_module("msgspec")
    except ModuleNotFoundError:
        return None
    options = {"array_like": True, "tag_field": "op"}
    opts = msgspec.defstruct(
        "Opts",
        [("key", str | None, None), ("echo", bool, True), ("ephemeral", bool, False), ("ttl_ms", int, 0)],
    )
    ping = msgspec.defstruct("Ping", [("id", int)], tag=16, **options)
    publish = msgspec.defstruct(
        "Publish",
        [("id", int), ("room", str), ("data", msgspec.Raw), ("opts", opts, opts())],
        tag=4,
        **options,
    )
    decode = msgspec.msgpack.Decoder(ping | publish).decode
    return lambda payload, limits: decode(payload)


@pytest.mark.parametrize("twin", [*TWINS, pytest.param(None, id="msgpack and checks")])
@pytest.mark.parametrize("name", COMMANDS)
def test_decode(benchmark: Any, name: str, twin: Any) -> None:
    benchmark.group = f"decode {name}"
    decode = plain_decode if twin is None else twin.decode_command
    payload = codec.encode_command(COMMANDS[name])
    assert benchmark(decode, payload, LIMITS) == COMMANDS[name]


@pytest.mark.parametrize("name", list(COMMANDS)[:3])
def test_decode_with_msgspec(benchmark: Any, name: str) -> None:
    decode = msgspec_decode()
    if decode is None:
        pytest.skip("msgspec is not installed")
    benchmark.group = f"decode {name}"
    assert benchmark(decode, codec.encode_command(COMMANDS[name]), LIMITS).id == 7


def plain_message() -> bytes:
    packed: bytes = msgpack.packb([66, "lobby", 4242, TS, "ada", "x" * 98, {}])
    return packed


ENCODED: dict[str, tuple[Callable[[Any], bytes], Callable[[], Any]]] = {
    "MESSAGE": (lambda twin: twin.message(ROOM, 4242, TS, USER, TEXT), plain_message),
    "PUBLISH result": (
        lambda twin: twin.publish_result(7, 4242, TS),
        lambda: msgpack.packb([64, 7, {"offset": 4242, "ts": TS}]),
    ),
    "PING result": (lambda twin: twin.ping_result(7, TS), lambda: msgpack.packb([64, 7, {"time": TS}])),
}


@pytest.mark.parametrize("twin", [*TWINS, pytest.param("plain", id="msgpack")])
@pytest.mark.parametrize("name", ENCODED)
def test_encode(benchmark: Any, name: str, twin: Any) -> None:
    benchmark.group = f"encode {name}"
    made, plain = ENCODED[name]
    result = benchmark(plain) if twin == "plain" else benchmark(made, twin)
    assert result == plain()


@pytest.mark.parametrize("twin", TWINS)
def test_scan_of_nested_maps(benchmark: Any, twin: Any) -> None:
    benchmark.group = "scan 4,000 elements, 16 KiB"
    payload = codec.pack([{"a": index, "b": "text"} for index in range(815)])
    benchmark(twin.scan, payload, LIMITS)


def test_decoding_the_same(benchmark: Any) -> None:
    benchmark.group = "scan 4,000 elements, 16 KiB"
    payload = codec.pack([{"a": index, "b": "text"} for index in range(815)])
    benchmark(msgpack.unpackb, payload)


def test_to_json(benchmark: Any) -> None:
    benchmark.group = "JSON, MESSAGE of 100 bytes"
    payload = codec.message(ROOM, 4242, TS, USER, TEXT)
    assert benchmark(jsonwire.to_json, payload).startswith(b"[66,")


def test_from_json(benchmark: Any) -> None:
    benchmark.group = "JSON, PUBLISH of 100 bytes"
    payload = codec.encode_command(COMMANDS["PUBLISH of 100 bytes"])
    assert benchmark(jsonwire.from_json, jsonwire.to_json(payload), LIMITS) == payload
