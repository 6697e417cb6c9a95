"""What went wrong on the thread of a store: the store, or we.

Invariant: a report holds nothing of what users wrote.
"""

from __future__ import annotations

import logging
import sqlite3
import traceback

# Failures after which the same connection may go on: the disk is full, somebody else holds a lock.
PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

LOG = logging.getLogger(__name__)


def report(what: str, fault: Exception) -> None:
    """Log a fault of ours without the exception's text: that may hold what users wrote."""
    trace = "".join(traceback.format_tb(fault.__traceback__))
    LOG.error("%s failed with %s\n%s", what, type(fault).__name__, trace)


def unavailable(error: Exception) -> bool:
    """Whether the store fails, not the job."""
    kinds = (sqlite3.OperationalError, sqlite3.DatabaseError, sqlite3.InternalError)
    return isinstance(error, OSError | MemoryError) or type(error) in kinds
