"""Archives of rooms: there and back is the same, and what is no archive is named with its line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.engine.archive import ArchiveError, Header, read_archive, write_archive
from fastchat.engine.base import MAX_PAGE, Entry
from fastchat.protocol.codec import pack
from fastchat.protocol.rules import MAX_UINT
from tests.protocol.test_jsonwire import values

uints = st.integers(0, MAX_UINT)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.sampled_from(["ada", "Zoë", "名前", "a b", "😀", '"', "\\"])


@st.composite
def archives(draw: st.DrawFn) -> tuple[Header, list[Entry]]:
    first, count = draw(st.integers(1, 2**40)), draw(st.integers(0, 4))
    entries = [
        Entry(
            first + place,
            draw(uints),
            draw(names),
            pack(draw(values)),
            pack(draw(st.dictionaries(st.text("abc", max_size=3), values, max_size=2))),
            draw(uints),
            draw(texts),
        )
        for place in range(count)
    ]
    newest = entries[-1].offset if entries else draw(uints)
    return Header("game:1", draw(texts), newest), entries


def read(text: bytes) -> tuple[Header, list[Entry]]:
    header, entries = read_archive(io.BytesIO(text))
    return header, list(entries)


@given(archives())
def test_there_and_back_is_the_same_bytes(archive: tuple[Header, list[Entry]]) -> None:
    header, entries = archive
    assert read(b"".join(write_archive(header, entries))) == (header, entries)


def test_every_line_is_json_for_other_programs() -> None:
    entry = Entry(1, 2, "ada", pack({"raw": b"\0\1", "text": "a\nb"}), b"", 0, "g:1")
    lines = list(write_archive(Header("lobby", "e", 1), [entry]))
    head, one = map(json.loads, lines)
    assert head == {"format": "fastchat-room", "version": 1, "room": "lobby", "epoch": "e", "offset": 1}
    assert one == {
        "offset": 1,
        "ts": 2,
        "user": "ada",
        "author": "g:1",
        "data": {"raw": {"$bin": "AAE="}, "text": "a\nb"},
        "opts": {},
        "expires": 0,
    }
    assert [line.count(b"\n") for line in lines] == [1, 1]


def line(**changed: Any) -> bytes:
    one = {"offset": 1, "ts": 2, "user": "ada", "author": "g:1", "data": "hi", "opts": {}, "expires": 0}
    fields = {name: value for name, value in (one | changed).items() if value != "gone"}
    return json.dumps(fields).encode() + b"\n"


def head(**changed: Any) -> bytes:
    return line(format="fastchat-room", version=1, room="lobby", epoch="e", offset=2, **changed)


TWO = line() + line(offset=2)
BAD = {
    "nothing": (b"", "line 1: the file is empty"),
    "something else": (b"hello\n", "line 1: not the JSON"),
    "an array": (b"[1]\n", "line 1: .*not an object"),
    "a number": (b"1\n", "line 1: .*not an object"),
    "binary": (b"\x00\xff\xfe\n", "line 1: .*UTF-8"),
    "another format": (
        head().replace(b"fastchat-room", b"x") + TWO,
        'line 1: the format is not "fastchat-room"',
    ),
    "a later version": (
        head().replace(b'"version": 1', b'"version": 2') + TWO,
        "line 1: version 2 .* reads version 1",
    ),
    "a bad room": (head().replace(b"lobby", b"a b") + TWO, "line 1: a room is"),
    "an epoch that is a number": (
        head().replace(b'"epoch": "e"', b'"epoch": 1') + TWO,
        "line 1: epoch is not",
    ),
    "a header that is cut": (head()[:-1], "line 1: the line is cut short"),
    "no header": (TWO, "line 1: no format, version, room, epoch in it"),
    "an empty line": (head() + line() + b"\n" + line(offset=2), "line 3: not the JSON"),
    "a cut line": (head() + TWO[:-1], "line 3: the line is cut short"),
    "a cut value": (head() + line() + b'{"offset":\n', "line 3: not the JSON"),
    "a missing line": (head() + line() + line(offset=3), "line 3: offset 3 does not follow 1"),
    "a line twice": (head() + TWO + line(offset=2), "line 4: offset 2 does not follow 2"),
    "too few": (head() + line(), "line 2: it ends at offset 1, and the first line says 2"),
    "no offset": (head() + line(offset="gone"), "line 2: no offset in it"),
    "offset 0": (head() + line(offset=0), "line 2: offset 0"),
    "a negative offset": (head() + line(offset=-1), "line 2: offset is not a whole number"),
    "an offset too large": (head() + line(offset=MAX_UINT + 1), "line 2: offset is not"),
    "an offset that is true": (head() + line(offset=True), "line 2: offset is not"),
    "a fraction of time": (head() + line(ts=1.5), "line 2: ts is not"),
    "no name": (head() + line(user=""), "line 2: a name is"),
    "a name that reorders lines": (head() + line(user="a\u202eb"), "line 2: a name has no"),
    "half a surrogate pair": (head() + line(data="\ud800"), "line 2: .*surrogate"),
    "an author that is null": (head() + line(author=None), "line 2: author is not"),
    "an endless author": (head() + line(author="a" * 300), "line 2: author is not"),
    "opts that are a list": (head() + line(opts=[]), "line 2: opts is not"),
    "an unknown change": (
        head() + line(opts={"change": "x", "target": 1}),
        "line 2: opts.change is not edit, delete",
    ),
    "a change of a list": (head() + line(opts={"change": [], "target": 1}), "line 2: opts.change is not"),
    "a change of nothing": (head() + line(opts={"change": "edit"}), "line 2: opts.target is not a whole"),
    "a change of itself": (
        head() + line(opts={"change": "edit", "target": 1}),
        "line 2: opts.target is no message",
    ),
    "reactions that are a number": (head() + line(opts={"reactions": 5}), "line 2: opts.reactions is not"),
    "a reaction of nobody": (head() + line(opts={"reactions": {"x": []}}), "line 2: opts.reactions is not"),
    "a reaction of 1": (head() + line(opts={"reactions": {"x": [1]}}), "line 2: opts.reactions is not"),
    "too many emoji": (
        head() + line(opts={"reactions": {str(number): ["ada"] for number in range(65)}}),
        "line 2: opts.reactions has more",
    ),
    "too much of a reaction": (
        head() + line(opts={"reactions": {"x": ["a" * 9000]}}),
        "line 2: opts.reactions has more",
    ),
    "edited at some time": (head() + line(opts={"edited": "today"}), "line 2: opts.edited is not a whole"),
    "deleted at no time": (head() + line(opts={"deleted": None}), "line 2: opts.deleted is not a whole"),
    "a reply to what was": (head() + line(opts={"reply_to": -1}), "line 2: opts.reply_to is not a whole"),
    "mentions of one": (head() + line(opts={"mentions": "bob"}), "line 2: opts.mentions is not"),
    "mentions of numbers": (head() + line(opts={"mentions": [1]}), "line 2: opts.mentions is not"),
    "mentions of everybody": (head() + line(opts={"mentions": ["b"] * 33}), "line 2: opts.mentions is not"),
    "base64 that is none": (head() + line(data={"$bin": "?"}), "line 2: .*base64"),
    "a key twice": (head() + line().replace(b'"ts"', b'"user"'), "line 2: .*a key occurs twice"),
    "a number too large": (head() + line().replace(b'"hi"', b"1e999"), "line 2: .*number is too large"),
    "an integer too large": (head() + line(data=2**64), "line 2: .*64 bits"),
    "NaN": (head() + line().replace(b'"hi"', b"NaN"), "line 2: .*NaN is not JSON"),
    "nested without end": (head() + line().replace(b'"hi"', b"[" * 10**5 + b"]" * 10**5), "line 2: nested"),
    "too much data": (head() + line(data="a" * MAX_PAGE), "line 2: data and opts are more than"),
    "a line without end": (head() + b" " * (9 * MAX_PAGE), "line 2: the line is too long"),
}


@pytest.mark.parametrize("text, says", BAD.values(), ids=BAD)
def test_what_is_no_archive_is_named_with_its_line(text: bytes, says: str) -> None:
    with pytest.raises(ArchiveError, match=f"^{says}"):
        read(text)


@given(st.binary(max_size=80), st.integers(0, 300))
def test_any_bytes_are_an_archive_or_an_error_of_ours(noise: bytes, at: int) -> None:
    text = head() + TWO
    for candidate in (noise, text[:at] + noise + text[at:], text[:at] + noise):
        try:
            read(candidate)
        except ArchiveError as error:
            assert str(error).startswith("line ")


def test_a_later_version_may_add_fields_and_a_room_may_be_empty() -> None:
    assert len(read(head(more=1) + line(more=[1]) + line(offset=2))[1]) == 2
    assert read(head()) == (Header("lobby", "e", 2), [])
