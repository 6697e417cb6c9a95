"""What is said of a store that fails: once in the log, and to those who wanted something of it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import TypeAlias

from fastchat.engine.base import Stored
from fastchat.engine.batch import Outcome
from fastchat.engine.faults import DAMAGED
from fastchat.engine.jobs import SILENT, Append, Job, Read, Told
from fastchat.engine.store import Displaced
from fastchat.errors import Code, ProtocolError

RETRY_MS = 1000  # what publishers are told to wait while the store fails

LOG = logging.getLogger(__name__)

Outcomes: TypeAlias = list[tuple[Told, Outcome | ProtocolError]]


def tell(error: Exception) -> None:
    """Log that the store fails and what to do."""
    LOG.error(
        "the store %s. Until then rooms take no messages and no members, but for those with the"
        ' durability "memory". (%s: %s)',
        _diagnose(error), type(error).__name__, error,
    )  # fmt: skip


def _diagnose(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, Displaced):
        return "is gone: put it back where it was, or stop the server and start it on what is there now"
    if code in DAMAGED or (not code and type(error) is sqlite3.DatabaseError):
        return "is damaged: stop the server, move its folder away, put a backup into a new one"
    return "fails; it is tried again and again"


def refuse(jobs: Sequence[Job]) -> Outcomes:
    """The outcomes of jobs that are not done; what needs no store has the one that it would have."""
    down = ProtocolError(Code.STORE_UNAVAILABLE, "the store is not available", retry_ms=RETRY_MS)
    outcomes: Outcomes = []
    for job in jobs:
        if isinstance(job, Append) and not job.keep and job.key is None:
            outcomes.append((job, Stored(0, job.now, False)))  # it only kept its place in the order
        elif isinstance(job, Read) and not job.queries:
            outcomes.append((job, []))  # so did this
        elif not isinstance(job, SILENT):
            outcomes.append((job, down))
    return outcomes
