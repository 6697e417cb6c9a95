"""Copy what is in the write-ahead log into the database, beside the thread that writes.

Invariant: nobody waits for it. A checkpoint waits for the disk, and whoever publishes must not, unless the
room says so; the thread that writes does one itself only where the log has become far too long (MOST_PAGES).
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

MOST_PAGES = 16_384  # in the log, 64 MiB: then the thread that writes does it, and waits
LOG_BYTES = 16 * 1024 * 1024  # the log's file is cut to this when it begins anew
BUSY_SECONDS = 0.0  # another checkpoint is under way: that one will do


class Checkpointer:
    """Runs a thread that makes a checkpoint of the database at `path` after each `nudge`."""

    def __init__(self, path: Path) -> None:
        self._uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        self._event = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fastchat-checkpoint", daemon=True)
        self.start = self._thread.start

    def nudge(self) -> None:
        """Ask for a checkpoint; several asked for meanwhile are one."""
        self._event.set()

    def close(self) -> None:
        """End the thread, and wait for that."""
        self._closing = True
        self._event.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            if self._closing:
                return
            try:
                self._checkpoint()
            except sqlite3.Error:
                pass  # whoever writes meets the same failure, and says so

    def _checkpoint(self) -> None:
        database = sqlite3.connect(self._uri, BUSY_SECONDS, isolation_level=None, uri=True)
        try:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            database.close()
