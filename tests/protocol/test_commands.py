"""The table of commands: what goes out of a client comes into a server, and the table is whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, ProtocolError
from fastchat.protocol import messages
from fastchat.protocol.codec import OPS, decode_command, encode_command, pack
from fastchat.protocol.commands import SHAPES
from fastchat.protocol.messages import Connect, Direct, History, Join, Op, Ping, Presence, Publish
from fastchat.protocol.rules import MAX_UINT, Limits
from fastchat.protocol.values import Timestamp, map_of

LIMITS = Limits()
ROOM_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-"

ids = st.integers(0, 2**32 - 1)
rooms = st.text(ROOM_LETTERS, min_size=1, max_size=64)
uints = st.integers(0, MAX_UINT)
positions = st.tuples(st.text(max_size=20), uints)
data = st.builds(pack, st.none() | st.text(max_size=20) | st.lists(st.integers(0, 300), max_size=20))
state = st.builds(pack, st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3))
keys = st.none() | st.text(min_size=1, max_size=64)
mentions = st.lists(st.text("abcä", min_size=1, max_size=32), max_size=32, unique=True).map(tuple)
texts = st.none() | st.text(max_size=20)
bound = st.none() | uints
COMMANDS = st.one_of(
    st.builds(
        Connect, ids, uints, texts, texts, texts, texts,
        st.dictionaries(st.text(max_size=70), st.none() | positions, max_size=3),
    ),
    st.builds(Join, ids, rooms, st.none() | positions, uints, st.booleans(), texts),
    st.builds(messages.Leave, ids, rooms),
    st.builds(Publish, ids, rooms, data, keys, st.booleans(), st.booleans(), uints, uints, mentions),
    st.builds(Direct, ids, st.text(max_size=40), data, keys),
    st.builds(History, ids, rooms, bound, st.none(), uints),
    st.builds(History, ids, rooms, st.none(), bound, uints),
    st.builds(Presence, ids, rooms, uints),
    st.builds(messages.State, ids, rooms, state),
    st.builds(messages.Edit, ids, rooms, uints, data),
    st.builds(messages.Delete, ids, rooms, uints),
    st.builds(messages.React, ids, rooms, uints, st.text(max_size=8), st.booleans()),
    st.builds(
        messages.Moderate, ids, st.just("") | rooms, st.text(max_size=8), st.text(max_size=40), uints, texts,
        st.booleans(), uints,
    ),
    st.builds(messages.Refresh, ids, st.text(max_size=20)),
    st.builds(messages.Mark, ids, rooms, uints),
    st.builds(messages.Block, ids, st.text(max_size=40), st.booleans()),
    st.builds(messages.Signal, ids, st.text(max_size=40), data),
    st.builds(Ping, ids),
    st.builds(messages.Pong, ids),
)  # fmt: skip


@given(COMMANDS)
def test_what_a_client_encodes_a_server_decodes(command: Any) -> None:
    got = decode_command(encode_command(command), LIMITS)
    assert got == command
    assert type(got) is type(command)


def test_options_at_their_default_are_left_out() -> None:
    assert encode_command(Publish(1, "r", b"\xc0")) == pack([4, 1, "r", None])
    assert encode_command(Publish(1, "r", b"\xc0", echo=False)) == pack([4, 1, "r", None, {"echo": False}])
    assert encode_command(Join(1, "r")) == pack([2, 1, "r"])
    assert encode_command(History(1, "r", after=0)) == pack([6, 1, "r", {"after": 0}])
    assert encode_command(Connect(1)) == pack([1, 1, 1])


def test_the_table_and_the_typed_commands_name_the_same_fields() -> None:
    for shape in SHAPES.values():
        names = [name for name, *_ in (*shape.elements, *shape.opts)]
        kind: Any = shape.command
        assert list(kind._fields) == ["id", *names]
        defaults = {name: default for name, _, default in shape.opts}
        assert {name: kind._field_defaults[name] for name in defaults} == defaults


def test_every_operation_of_a_client_is_in_the_table() -> None:
    assert set(SHAPES) == {op for op in Op if op < Op.RESULT}
    assert {OPS[shape.command]: shape for shape in SHAPES.values()} == SHAPES  # type: ignore[index]


def test_the_first_wrong_argument_is_named() -> None:
    for message, field in (
        ([4, 5, 1, 1, {"key": 1}], "room"),
        ([4, 5, "r", 1, {"ttl_ms": -1, "key": 1}], "key"),
        ([2, True, 5], "id"),
        ([1, 5, "1", 7], "version"),
    ):
        with pytest.raises(ProtocolError) as refused:
            decode_command(pack(message), LIMITS)
        assert (refused.value.code, refused.value.field) == (Code.BAD_ARGUMENT, field)


def test_no_hash_that_a_peer_can_choose_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 timestamps with one hash, as keys of the options, would hold everybody up."""

    def asked(self: Timestamp) -> int:
        raise AssertionError("a map has a Timestamp as its key")

    monkeypatch.setattr(Timestamp, "__hash__", asked)
    opts = map_of([(pack(Timestamp(2**40, 5)), pack(1)), (pack("history"), pack(3))])
    payload = b"\x94" + pack(2) + pack(7) + pack("lobby") + opts
    assert decode_command(payload, LIMITS) == Join(7, "lobby", None, 3)
