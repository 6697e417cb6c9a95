"""docs/PROTOCOL.md cannot rot: its bytes, codes, operations and numbers are derived from the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config, RoomOptions
from fastchat.errors import Code
from fastchat.protocol import codec, rules
from fastchat.protocol.codec import decode_command, decode_push, encode_command, pack
from fastchat.protocol.commands import SHAPES
from fastchat.protocol.framing import tcp_frame, ws_frame
from fastchat.protocol.jsonwire import from_json
from fastchat.protocol.messages import HISTORY_LIMIT, PRESENCE_LIMIT, Op
from fastchat.protocol.session import STRIKES
from tests.protocol.test_framing import client_frame

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
FRAMES = {"C": tcp_frame, "S": tcp_frame, "W": client_frame, "V": ws_frame}


def exchange() -> list[Any]:
    """(who, message, bytes) of every line of the `wire` blocks."""
    found = []
    for block in re.findall(r"```wire\n(.*?)```", TEXT, re.DOTALL):
        for who, text, frame in re.findall(r"^([CSWV]) (.*)\n((?:  [0-9a-f ]+\n)+)", block, re.MULTILINE):
            found.append(pytest.param(who, text, bytes.fromhex(frame), id=f"{who} {text[:30]}"))
        assert len(re.findall(r"^[A-Z] ", block, re.MULTILINE)) == len(
            re.findall(r"^[CSWV] .*\n  [0-9a-f]", block, re.MULTILINE)
        )
    return found


def served(message: list[Any]) -> bytes:
    """Encode a push with the functions that the server has for it."""
    op, *rest = message
    if op == Op.RESULT and set(rest[1]) == {"time"}:
        return codec.ping_result(rest[0], rest[1]["time"])
    if op == Op.RESULT and set(rest[1]) == {"offset", "ts"}:
        return codec.publish_result(rest[0], rest[1]["offset"], rest[1]["ts"])
    if op == Op.RESULT and "rooms" in rest[1]:
        return codec.connect_result(rest[0], {k: v for k, v in rest[1].items() if k != "rooms"}, {})
    if op == Op.RESULT:
        body = dict(rest[1])
        body["messages"] = [codec.entry(*one[:2], *map(pack, one[2:])) for one in body["messages"]]
        body["presence"] = [codec.member(pack(user), pack(state), ts) for user, state, ts in body["presence"]]
        return codec.result_raw(rest[0], codec.join_body(**body))
    if op == Op.ERROR:
        return codec.error(*rest[:3], field=rest[3]["field"])
    if op == Op.MESSAGE:
        room, offset, ts, *packed = rest
        return codec.message(pack(room), offset, ts, *map(pack, packed))
    if op == Op.PRESENCE_PUSH:
        members = [codec.member(pack(user), pack(state), ts) for user, state, ts in rest[1]]
        return codec.presence_push(pack(rest[0]), members, [pack(name) for name in rest[2]], rest[3])
    if op == Op.GAP:
        return codec.gap(pack(rest[0]), *rest[1:])
    if op == Op.PING_PUSH:
        return codec.ping_push(*rest)
    assert op == Op.BYE
    return codec.bye(*rest[:2], rest[2]["reconnect"], rest[2]["after_ms"])


@pytest.mark.parametrize("who,text,frame", exchange())
def test_the_worked_exchange(who: str, text: str, frame: bytes) -> None:
    payload = from_json(text.encode(), rules.Limits())
    assert FRAMES[who](payload).hex(" ") == frame.hex(" ")
    if who in "SV":
        assert served(json.loads(text)) == payload
        assert decode_push(payload) is not None
        return
    if "no such room" not in text:
        assert encode_command(decode_command(payload, rules.Limits())) == payload


def test_the_exchange_is_there() -> None:
    assert len(exchange()) >= 15


def rows(title: str) -> list[list[str]]:
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip("` ") for cell in row] for row in cells][1:]


def test_every_code_is_listed() -> None:
    listed = {int(code): meaning for code, meaning in rows("Codes")}
    assert set(listed) == {int(code) for code in Code}
    for code in Code:  # the words are the names'; 406 and 404 say more
        assert set(code.name.lower().split("_")) & set(re.findall(r"\w+", listed[code].lower())), code


def test_every_operation_is_listed_with_its_arguments() -> None:
    listed = {row[0]: row[1] for row in rows("Commands")}
    assert [key for key in listed if key[0].isdigit()] == [f"{op:d} {op.name}" for op in Op if op < Op.RESULT]
    for op, shape in SHAPES.items():
        array = listed[f"{op:d} {Op(op).name}"]
        assert array.startswith(f"[{op:d}, ")
        for name, *_ in (*shape.elements, *shape.opts):
            assert re.search(rf"\b{name}\b", array), (op, name)
    pushes = {row[0]: row[1] for row in rows("Replies and pushes")}
    names = [f"{op:d} {op.name.removesuffix('_PUSH')}" for op in Op if op >= Op.RESULT]
    assert list(pushes) == names


@pytest.mark.parametrize(
    "said",
    [
        f"({Config().max_frame // 1024} KiB unless configured",
        f"at most {rules.PUSH_FRAME >> 20} MiB",
        f"at most {rules.EARLY_FRAME >> 10} KiB, CONNECT itself {rules.CONNECT_FRAME >> 10} KiB",
        f"within {Config().connect_seconds:.0f} seconds",
        f"nested at most {Config().max_depth} deep",
        f"at most {Config().max_elements:,} elements",
        f"`limit` is {HISTORY_LIMIT} unless given",
        f"(1 to {rules.MAX_KEY} characters)",
        f"for {Config().idempotency_seconds // 60} minutes at least",
        f"more than {RoomOptions().presence_members} members unless configured",
        {3: "The third on one connection brings BYE 300"}[STRIKES],
    ],
)
def test_numbers(said: str) -> None:
    assert said in " ".join(TEXT.split())


def test_both_limits_of_lists_are_one_number() -> None:
    assert HISTORY_LIMIT == PRESENCE_LIMIT
    assert rules.Limits() == (Config().max_depth, Config().max_elements)


def test_every_vector_file_is_listed() -> None:
    for path in (ROOT / "tests" / "vectors").glob("*.json"):
        assert f"`{path.name}`" in TEXT
