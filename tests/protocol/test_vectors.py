"""The test vectors, which any client may use, hold for both twins, in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fastchat.errors import Code, FrameError, ProtocolError
from fastchat.protocol import _codec_py, codec, jsonwire
from fastchat.protocol.commands import SHAPES
from fastchat.protocol.messages import Op
from fastchat.protocol.receipts import SHAPES as PUSH_SHAPES
from fastchat.protocol.rules import Limits
from tests.twins import twins

VECTORS = Path(__file__).parent.parent / "vectors"
LIMITS = Limits()
framings = pytest.mark.parametrize(
    "framing", twins("fastchat.protocol._framing", "fastchat.protocol._framing_py")
)
codecs = pytest.mark.parametrize("twin", twins("fastchat.protocol._codec", "fastchat.protocol._codec_py"))


def load(name: str, group: str = "cases") -> list[Any]:
    cases = json.loads((VECTORS / name).read_text(encoding="utf-8"))[group]
    assert cases
    return [pytest.param(case, id=case.get("name") or str(case["size"])) for case in cases]


def plain(value: Any) -> Any:
    """A command's field as the vectors write it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


@codecs
@pytest.mark.parametrize("case", load("commands.json"))
def test_commands(twin: Any, case: Any) -> None:
    payload = bytes.fromhex(case["hex"])
    command = twin.decode_command(payload, LIMITS)
    assert codec.OPS[type(command)] == case["op"]
    assert {name: plain(value) for name, value in command._asdict().items()} == case["fields"]
    encoded = codec.encode_command(command)
    assert (encoded == payload) is case["canonical"]
    assert twin.decode_command(encoded, LIMITS) == command


@codecs
@pytest.mark.parametrize("case", load("refused.json"))
def test_refused(twin: Any, case: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        twin.decode_command(bytes.fromhex(case["hex"]), LIMITS)
    error = refused.value
    assert (error.code, error.id, error.field) == (case["code"], case["id"], case["field"])
    assert error.text


@pytest.mark.parametrize("case", load("pushes.json"))
def test_pushes(case: Any) -> None:
    payload = bytes.fromhex(case["hex"])
    push = codec.decode_push(payload)
    assert isinstance(push, tuple)
    assert type(push) is PUSH_SHAPES[payload[1]].push
    assert json.loads(jsonwire.to_json(payload)) == case["json"]
    assert jsonwire.from_json(jsonwire.to_json(payload), LIMITS) == payload


@pytest.mark.parametrize("case", load("pushes.json", "later"))
def test_later_pushes_are_ignored(case: Any) -> None:
    assert codec.decode_push(bytes.fromhex(case["hex"])) is None


@pytest.mark.parametrize("case", load("pushes.json", "malformed"))
def test_malformed_pushes(case: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        codec.decode_push(bytes.fromhex(case["hex"]))
    assert refused.value.code is Code.MALFORMED


def pieces(stream: bytes, step: int) -> list[bytes]:
    return [stream[at : at + step] for at in range(0, len(stream), step)]


@framings
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
@pytest.mark.parametrize("case", load("tcp.json"))
def test_tcp(framing: Any, case: Any, step: int) -> None:
    framer = framing.TcpFramer()
    payloads, then = [], "waiting"
    for piece in pieces(bytes.fromhex(case["stream"]), step):
        framer.feed(piece)
        try:
            payloads += framer.cut(case["limit"])
            payloads += framer.cut(case["limit"])
        except FrameError as error:
            assert error.code is Code.TOO_LARGE
            then = "too large"
    assert [payload.hex() for payload in payloads] == case["payloads"]
    assert (then, framer.pending) == (case["then"], case["held"])


@framings
@pytest.mark.parametrize("step", [1, 3, 1 << 20])
@pytest.mark.parametrize("case", load("websocket.json", "client"))
def test_websocket(framing: Any, case: Any, step: int) -> None:
    cutter = framing.WsCutter(case["opcode"])
    payloads, then = [], "waiting"
    for piece in pieces(bytes.fromhex(case["stream"]), step):
        cutter.feed(piece)
        try:
            payloads += cutter.cut(case["limit"])
            payloads += cutter.cut(case["limit"])
        except FrameError as error:
            assert error.code is Code.TOO_LARGE
            then = "too large"
    assert [payload.hex() for payload in payloads] == case["payloads"]
    assert (("unusual" if cutter.unusual() else then), cutter.take().hex()) == (case["then"], case["rest"])


@framings
@pytest.mark.parametrize("case", load("websocket.json", "server"))
def test_websocket_server_frames(framing: Any, case: Any) -> None:
    payload = bytes(case["size"])
    assert framing.ws_frame(payload, case["opcode"]) == bytes.fromhex(case["header"]) + payload


@pytest.mark.parametrize("case", load("jsonwire.json", "both"))
def test_json_both_ways(case: Any) -> None:
    payload = bytes.fromhex(case["hex"])
    assert jsonwire.to_json(payload).decode() == case["json"]
    assert jsonwire.from_json(case["json"].encode(), LIMITS) == payload


@pytest.mark.parametrize("case", load("jsonwire.json", "read"))
def test_json_read(case: Any) -> None:
    assert jsonwire.from_json(case["json"].encode(), LIMITS).hex() == case["hex"]


@pytest.mark.parametrize("case", load("jsonwire.json", "refused"))
def test_json_refused(case: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        jsonwire.from_json(bytes.fromhex(case["hex"]), LIMITS)
    assert (refused.value.code, refused.value.id) == (Code.MALFORMED, 0)


def test_the_vectors_leave_nothing_out() -> None:
    commands = {case.values[0]["op"] for case in load("commands.json")}
    assert commands == set(SHAPES)
    pushes = {bytes.fromhex(case.values[0]["hex"])[1] for case in load("pushes.json")}
    assert pushes == {op for op in Op if op >= Op.RESULT} == set(PUSH_SHAPES)
    named = {case.values[0]["field"] for case in load("refused.json")} - {None}
    known = {name for shape in SHAPES.values() for name, *_ in (*shape.elements, *shape.opts)}
    assert named == known | {"id", "opts"}


def test_what_is_accepted_the_plain_library_accepts() -> None:
    for case in load("commands.json"):
        payload = bytes.fromhex(case.values[0]["hex"])
        _codec_py.scan(payload, LIMITS)
        msgpack.unpackb(payload, strict_map_key=False)
