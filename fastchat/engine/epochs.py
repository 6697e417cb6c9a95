"""When a store is opened: which rooms may have lost messages that somebody saw, and so need another epoch.

Invariant: no offset that a member saw is given to another message in the same epoch. What was committed
outlives the process, so an epoch ends only where power may have gone (the machine has another boot id, and
the store was not closed in order) for rooms that were not synced, and in a copy that goes on from its past.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from fastchat.config import Config, Durability

BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """What tells one start of this machine from the next; "" where nothing does."""
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def open_epochs(database: sqlite3.Connection, config: Config, boot: str, fresh: Callable[[], str]) -> None:
    """Let rooms have new epochs where they must, and note that the store is open; synced before it returns.

    Synced, because all that follows rests on it: a note that the next loss of power takes away, while what
    came before it says "closed in order", would keep an epoch alive whose last messages are lost.
    """
    database.execute("PRAGMA synchronous = FULL")
    database.execute("BEGIN IMMEDIATE")
    meta = dict(database.execute("SELECT name, value FROM meta"))
    copied = "restored" in meta
    crashed = meta.get("clean") == "0" and (not boot or meta.get("boot") != boot)
    if copied or crashed or "epoch" not in meta:
        which = "" if copied else " WHERE power = 0"
        rooms = database.execute("SELECT id FROM rooms" + which).fetchall()
        database.executemany("UPDATE rooms SET epoch = ? WHERE id = ?", [(fresh(), id) for (id,) in rooms])
        note(database, "epoch", fresh())  # a room whose row was lost must not begin again in its old epoch
        database.execute("DELETE FROM meta WHERE name = 'restored'")
    _follow(database, config)
    note(database, "boot", boot)
    note(database, "clean", "0")
    database.execute("COMMIT")


def close_epochs(database: sqlite3.Connection) -> None:
    """Note, synced, that nothing can be lost any more."""
    database.execute("PRAGMA synchronous = FULL")
    note(database, "clean", "1")


def note(database: sqlite3.Connection, name: str, value: str) -> None:
    """Keep one line of `meta`."""
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _follow(database: sqlite3.Connection, config: Config) -> None:
    """Follow the settings: what comes from now on is synced, or no longer is."""
    changed = []
    for id, name, power in database.execute("SELECT id, name, power FROM rooms"):
        wanted = config.room(name).durability is Durability.POWER
        if wanted != bool(power):
            changed.append((int(wanted), id))
    database.executemany("UPDATE rooms SET power = ? WHERE id = ?", changed)
