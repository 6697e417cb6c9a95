"""A room's messages as JSON lines, for `fastchat export` and `fastchat import`.

The first line says what it is, every other line is one entry; data and opts are in the JSON form of the
wire (PROTOCOL, "JSON"), so nothing that msgpack can say is lost.

Invariant: what `read_archive` gives back could have been stored: contiguous offsets, checked names, bounded
data. It raises `ArchiveError` with the number of the line, and nothing else, whatever the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from fastchat.engine.base import MAX_PAGE, Entry
from fastchat.engine.changes import DELETE, EDIT, MAX_EMOJI, MAX_REACTIONS, REACT
from fastchat.errors import ProtocolError, StoreError
from fastchat.protocol.codec import EMPTY, PUSH_LIMITS, pack, unpack
from fastchat.protocol.jsonwire import fields_from_json, to_json
from fastchat.protocol.names import room_name, user_name
from fastchat.protocol.rules import MAX_MENTIONS, MAX_UINT

FORMAT = "fastchat-room"
VERSION = 1
LONGEST = 8 * MAX_PAGE  # bytes of a line: a control character of one byte takes six in JSON
MAX_AUTHOR = 256  # code points of an identity's id

HEADER = ("format", "version", "room", "epoch", "offset")
FIELDS = ("offset", "ts", "user", "author", "data", "opts", "expires")


class ArchiveError(StoreError):
    """A file is no archive of a room; the text begins with the line."""


class Header(NamedTuple):
    """What the first line says."""

    room: str
    epoch: str  # the one it was exported from: whoever reads positions elsewhere may want it
    offset: int  # the newest of the room; there are no entries when all were past their time


def write_archive(header: Header, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the lines, each with its line feed."""
    first = {"format": FORMAT, "version": VERSION, **header._asdict()}
    yield _text(first) + b"\n"
    for offset, ts, user, data, opts, expires, author in entries:
        yield (
            b'{"offset":%d,"ts":%d,"user":%s,"author":%s,"data":%s,"opts":%s,"expires":%d}\n'
            % (offset, ts, _text(user), _text(author), to_json(data), to_json(opts or EMPTY), expires)
        )


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read_archive(source: IO[bytes]) -> tuple[Header, Iterator[Entry]]:
    """Read the header, and an iterator that reads and checks the entries one by one."""
    line = source.readline(LONGEST)
    if not line:
        raise ArchiveError("line 1: the file is empty")
    try:
        header = _header(_fields(line, HEADER))
    except _Wrong as wrong:
        raise ArchiveError(f"line 1: {wrong}") from None
    return header, _entries(source, header.offset)


class _Wrong(Exception):
    """What is wrong with a line."""


def _entries(source: IO[bytes], newest: int) -> Iterator[Entry]:
    number, last = 1, 0
    while line := source.readline(LONGEST):
        number += 1
        try:
            entry = _entry(_fields(line, FIELDS))
            if last and entry.offset != last + 1:
                raise _Wrong(
                    f"offset {entry.offset} does not follow {last}: a line is missing or twice there"
                )
        except _Wrong as wrong:
            raise ArchiveError(f"line {number}: {wrong}") from None
        last = entry.offset
        yield entry
    if last not in (0, newest):
        raise ArchiveError(f"line {number}: it ends at offset {last}, and the first line says {newest}")


def _fields(line: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    if not line.endswith(b"\n"):
        long = len(line) >= LONGEST
        raise _Wrong("the line is too long" if long else "the line is cut short: the file is not whole")
    try:
        found = fields_from_json(line, PUSH_LIMITS)
    except ProtocolError as error:
        raise _Wrong(error.text) from None
    missing = [name for name in names if name not in found]
    if missing:
        raise _Wrong(f"no {', '.join(missing)} in it")
    return found  # what a later version adds is passed over


def _header(fields: dict[str, bytes]) -> Header:
    values = {name: unpack(fields[name]) for name in HEADER}
    if values["format"] != FORMAT:
        raise _Wrong(f'the format is not "{FORMAT}": this is no file of fastchat export')
    if values["version"] != VERSION:
        raise _Wrong(f"version {values['version']} of the format; this fastchat reads version {VERSION}")
    return Header(
        _name(room_name, values["room"], "room"),
        _str(values["epoch"], "epoch"),
        _uint(values["offset"], "offset"),
    )


def _entry(fields: dict[str, bytes]) -> Entry:
    offset = _uint(unpack(fields["offset"]), "offset")
    if not offset:
        raise _Wrong("offset 0 is never stored")
    opts = fields["opts"]
    _check_opts(unpack(opts), offset)
    if len(fields["data"]) + len(opts) > MAX_PAGE:
        raise _Wrong(f"data and opts are more than {MAX_PAGE:,} bytes")
    author = _str(unpack(fields["author"]), "author")
    return Entry(
        offset,
        _uint(unpack(fields["ts"]), "ts"),
        _name(user_name, unpack(fields["user"]), "user"),
        fields["data"],
        opts,
        _uint(unpack(fields["expires"]), "expires"),
        author,
    )


def _check_opts(opts: object, offset: int) -> None:
    if not isinstance(opts, dict):
        raise _Wrong("opts is not an object")
    for name in ("reply_to", "edited", "deleted"):
        if name in opts:
            _uint(opts[name], f"opts.{name}")
    if "mentions" in opts and not _names(opts["mentions"], MAX_MENTIONS):
        raise _Wrong(f"opts.mentions is not a list of at most {MAX_MENTIONS} names")
    if "reactions" in opts:
        _check_reactions(opts["reactions"])
    if "change" not in opts:
        return
    if opts["change"] not in (EDIT, DELETE, REACT):
        raise _Wrong(f"opts.change is not {EDIT}, {DELETE} or {REACT}")
    if not 0 < _uint(opts.get("target"), "opts.target") < offset:
        raise _Wrong("opts.target is no message before it")


def _check_reactions(reactions: object) -> None:
    if not isinstance(reactions, dict) or not all(
        type(emoji) is str and users and _names(users, MAX_REACTIONS) for emoji, users in reactions.items()
    ):
        raise _Wrong("opts.reactions is not an object of lists of names")
    if len(reactions) > MAX_EMOJI or len(pack(reactions)) > MAX_REACTIONS:
        raise _Wrong(f"opts.reactions has more than {MAX_EMOJI} emoji or {MAX_REACTIONS:,} bytes")


def _names(value: object, most: int) -> bool:
    return type(value) is list and len(value) <= most and all(type(one) is str for one in value)


def _uint(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_UINT:
        raise _Wrong(f"{name} is not a whole number of 0 to {MAX_UINT:,}")
    return value


def _str(value: object, name: str) -> str:
    if type(value) is not str or len(value) > MAX_AUTHOR:
        raise _Wrong(f"{name} is not a text of at most {MAX_AUTHOR} characters")
    return value


def _name(check: Any, value: object, name: str) -> str:
    try:
        checked: str = check(_str(value, name))
    except ProtocolError as error:
        raise _Wrong(error.text) from None
    return checked
