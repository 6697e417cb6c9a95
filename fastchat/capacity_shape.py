"""Who hears whom: rooms of so many members, as data, and what a number of clients becomes in them.

Invariant: shapes are checked where they are used; a wrong one raises CapacityError that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from fastchat.errors import FastChatError

HALL = 0.1  # of the clients of the mixed shape are in the one large room
SMALL = 0.6  # of them are in teams of SMALL_TEAM, the rest in teams of LARGE_TEAM
SMALL_TEAM = 5
LARGE_TEAM = 50


class CapacityError(FastChatError, ValueError):
    """The model cannot be fitted, or cannot answer: the text says what to do."""


class Group(NamedTuple):
    """So many rooms of so many members, who all speak equally often."""

    rooms: int
    members: int


Shape: TypeAlias = tuple[Group, ...]


class Crowd(NamedTuple):
    """What a running server sees of its rooms: D members reached in all, F copies of each message."""

    recipients: float
    fan_out: float


# A number stands for one room of so many members.
Rooms: TypeAlias = Sequence[Group] | Crowd | float


class Part(NamedTuple):
    """A group as the model reckons with it: averages need not be whole."""

    rooms: float
    members: float


def parts(rooms: Rooms) -> tuple[Part, ...]:
    """Read any way of saying who hears whom. Raises CapacityError."""
    if isinstance(rooms, Crowd):
        if not 0 < rooms.fan_out <= rooms.recipients:
            raise CapacityError(f"{rooms}: a message reaches some, at most all, of the recipients")
        found: tuple[Part, ...] = (Part(rooms.recipients / rooms.fan_out, rooms.fan_out),)
    elif isinstance(rooms, int | float):
        found = (Part(1, rooms),)
    else:
        found = tuple(Part(group.rooms, group.members) for group in rooms if group.rooms != 0)
    if not found:
        raise CapacityError("there is no room: give at least one Group(rooms, members)")
    for part in found:
        if not (part.rooms > 0 and part.members > 0 and isfinite(part.rooms * part.members)):
            raise CapacityError(f"{rooms}: rooms and members are positive numbers")
    return found


def clients(rooms: Rooms) -> float:
    """Count the members of all rooms."""
    return sum(part.rooms * part.members for part in parts(rooms))


def one_room(count: int) -> Shape:
    """All in one room."""
    return (Group(1, _whole(count)),)


def teams(size: int) -> Callable[[int], Shape]:
    """Make the shape of rooms of `size` members, with one smaller room for those left over."""
    if size < 1:
        raise CapacityError(f"teams of {size}: a team has at least one member")

    def divided(count: int) -> Shape:
        full, rest = divmod(_whole(count), size)
        return ((Group(full, size),) if full else ()) + ((Group(1, rest),) if rest else ())

    return divided


def mixed(count: int) -> Shape:
    """60 % of the clients in teams of 5, 30 % in teams of 50, the others in one hall."""
    hall = max(1, round(HALL * _whole(count)))
    small = min(count - hall, round(SMALL * count))
    large = count - hall - small
    merged: dict[int, int] = {}
    for shape in (teams(SMALL_TEAM)(small) if small else (), teams(LARGE_TEAM)(large) if large else ()):
        for rooms, members in shape:
            merged[members] = merged.get(members, 0) + rooms
    merged[hall] = merged.get(hall, 0) + 1
    return tuple(Group(rooms, members) for members, rooms in merged.items())


def _whole(count: int) -> int:
    if count < 1:
        raise CapacityError(f"{count} clients: there must be at least one")
    return count


SHAPES: Mapping[str, Callable[[int], Shape]] = MappingProxyType(
    {
        "room": one_room,
        f"teams-{SMALL_TEAM}": teams(SMALL_TEAM),
        f"teams-{LARGE_TEAM}": teams(LARGE_TEAM),
        "mixed": mixed,
    }
)
