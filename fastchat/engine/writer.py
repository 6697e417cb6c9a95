"""The thread of a store: takes what is queued, does it in batches, hands the outcomes back in order.

Invariant: every job that has an outcome gets exactly one, in the order of the jobs, and what is told as
stored is committed. The store may fail and come back: nothing ends the thread but `Stop`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from fastchat.engine.batch import Batch, Outcome
from fastchat.engine.checkpoint import Checkpointer
from fastchat.engine.faults import PASSING, report, unavailable
from fastchat.engine.jobs import SILENT, WRITES, Append, Job, Read, Release, Stop
from fastchat.engine.outages import Outcomes, refuse, tell
from fastchat.engine.store import Store
from fastchat.errors import Code, FastChatError, ProtocolError

MOST_JOBS = 512  # in a batch: some milliseconds of work
MANY = 32  # jobs that are worth a commit of their own: no need to wait for more
DOUBTS = 16  # batches that do not wait after one has waited in vain
MOST_PAGES = 1024 * 1024  # bytes of pages read in a batch: milliseconds in which nothing is committed
CHECKPOINT_PAGES = 1000  # in the log: 4 MiB, some milliseconds of a disk
BATCH_PAGES, JOBS_PER_PAGE = 4, 10  # what a batch adds to the log, about
AHEAD = 2  # batches handed over that are not told yet; the thread waits before it does more
REOPEN_SECONDS = 1.0  # between two attempts to open a store that failed

LOG = logging.getLogger(__name__)


class Writer:
    """Runs the thread. `tell` is called there with the outcomes of a batch, `told` once they are told.

    `reopened` is called there when the store is open although it was not, before any outcome that follows.

    `patience`: seconds from one batch to the next while jobs come fast. A commit costs as much as a dozen
    messages; where a wait brings none, the next batches do not wait.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[Outcomes], None],
        reopened: Callable[[], None],
        patience: float,
    ) -> None:
        self._store = store
        self._checkpointer = Checkpointer(store.path)
        self._pages = 0  # written since the last checkpoint was asked for, about
        self._tell = tell
        self._tell_reopened = reopened
        self._jobs: deque[Job] = deque()
        self._late: list[Job] = []  # reads that were taken from it and wait until the others are done
        self._asleep = False  # the thread waits at `_wake`
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._open = False
        self._failing = False
        self._patience = patience
        self._ended = 0.0  # when the last batch was done
        self._doubts = 0  # batches that shall not wait
        self._retry = 0.0  # when to try to open it again
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fastchat-store", daemon=True)

    def start(self) -> bool:
        """Open the store and start; tells whether it is open, for a store that fails is tried again later.

        Raises ConfigError.
        """
        self._try_open()
        opened = self._open
        self._checkpointer.start()
        self._thread.start()
        return opened

    def put(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.append(job)
        if self._asleep:  # to wake a thread costs more than all the rest of a message
            self._asleep = False
            self._wake.put(None)

    def told(self) -> None:
        """Take it that one more batch is told."""
        self._room.release()

    def close(self) -> None:
        """Do what is queued and close the store, and wait for that; all outcomes are handed over by then."""
        self._closing = True
        self.put(Stop())
        self._room.release()
        self._thread.join()

    # the thread

    def _run(self) -> None:
        going = True
        while going:
            jobs = self._take()
            late, self._late = self._late, []
            if jobs:
                going = self._serve(jobs)
            if late:
                self._serve(late)
        self._checkpointer.close()
        if self._open:
            self._close()

    def _serve(self, jobs: Sequence[Job]) -> bool:
        """Do a batch, put off what is too much for it, hand over its outcomes; tells whether to go on."""
        try:
            outcomes, done = self._do(jobs)
        except Exception as fault:  # a fault of ours where faults are handled
            report("the thread of the store", fault)
            outcomes, done = refuse(jobs), len(jobs)
            self._drop()
        self._jobs.extendleft(reversed(jobs[done:]))
        self._ended = time.monotonic()
        if outcomes:
            if not self._closing:
                self._room.acquire()
            self._tell(outcomes)
        return type(jobs[done - 1]) is not Stop

    def _take(self) -> list[Job]:
        """Wait for a job; take with it whatever else is there, or is coming where jobs come fast.

        Those that can wait until the others are done are in `_late` instead.
        """
        while not self._jobs:
            self._asleep = True
            if not self._jobs:  # else it came before anybody knew that we sleep
                self._wake.get()
            self._asleep = False
        jobs: list[Job] = []
        self._take_more(jobs)
        wait = self._ended + self._patience - time.monotonic()
        if wait <= 0 or len(jobs) > MANY or self._closing:
            return jobs
        if self._doubts:
            self._doubts -= 1
            return jobs
        had = len(jobs)
        time.sleep(wait)
        self._take_more(jobs)
        if len(jobs) == had:
            self._doubts = DOUBTS
        return jobs

    def _take_more(self, jobs: list[Job]) -> None:
        queue = self._jobs
        while queue and len(jobs) < MOST_JOBS:
            job = queue.popleft()
            if type(job) is Read:
                if job.late:
                    self._late.append(job)
                    continue
                if not job.queries:  # it tells when all before it is done
                    jobs += self._late
                    self._late.clear()
            jobs.append(job)
            if type(job) is Stop:  # whatever is behind it, nobody waits for
                jobs[-1:] = (*self._late, job)
                self._late.clear()
                return

    def _do(self, jobs: Sequence[Job]) -> tuple[Outcomes, int]:
        """Do the first of these jobs; returns their outcomes, and how many they were."""
        if not self._open and not self._reopened():
            for job in jobs:
                if isinstance(job, Release):
                    self._store.release(job.room)
            return refuse(jobs), len(jobs)
        power = self._store.powers and any(isinstance(job, WRITES) and job.power for job in jobs)
        batch = Batch(self._store, power)
        append = batch.append
        outcomes: Outcomes = []
        try:
            for number, job in enumerate(jobs, 1):
                outcome: Outcome | ProtocolError
                try:
                    if type(job) is Append:
                        outcomes.append((job, append(job)))
                        continue
                    outcome = batch.do(job)
                except ProtocolError as refusal:
                    outcome = refusal
                if isinstance(job, SILENT):
                    continue
                outcomes.append((job, outcome))
                if batch.page_bytes > MOST_PAGES and number < len(jobs):
                    jobs = jobs[:number]
                    break
            batch.finish()
        except Exception as error:
            return self._undone(batch, jobs, error), len(jobs)
        self._count(batch, jobs)
        if self._failing and batch.wrote:
            self._failing = False
            LOG.warning("the store works again")
        return outcomes, len(jobs)

    def _count(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Ask for a checkpoint when the log has grown, and about once a second while anything is written."""
        if batch.wrote:
            self._pages += BATCH_PAGES + len(jobs) // JOBS_PER_PAGE
        if self._pages > CHECKPOINT_PAGES or (self._pages and batch.ticked):
            self._pages = 0
            self._checkpointer.nudge()

    def _undone(self, batch: Batch, jobs: Sequence[Job], error: Exception) -> Outcomes:
        """Fail a batch: what it wrote is undone; reads are answered all the same, where that can be."""
        try:
            batch.undo()
        except (sqlite3.Error, OSError):
            self._drop()
        if not unavailable(error):
            return self._one_by_one(jobs, error)
        self._note(error)
        outcomes: Outcomes = []
        for job in jobs:
            if isinstance(job, Release):
                self._store.release(job.room)
        for job, outcome in refuse(jobs):
            if isinstance(job, Read) and self._open:
                try:
                    outcome = Batch(self._store, False).do(job)
                except ProtocolError as refusal:
                    outcome = refusal
                except (sqlite3.Error, OSError) as again:
                    self._note(again)
            outcomes.append((job, outcome))
        return outcomes

    def _one_by_one(self, jobs: Sequence[Job], error: Exception) -> Outcomes:
        """Find the job that brought a fault of ours, so that the others do not suffer for it."""
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in self._do([job])[0]]
        report(type(jobs[0]).__name__, error)
        internal = ProtocolError(Code.INTERNAL, "internal error")
        return [(job, internal) for job, _ in refuse(jobs)]

    def _note(self, error: Exception) -> None:
        """Say once that the store fails and what to do; let go of a connection that may not go on."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in PASSING:
            self._drop()
        if not self._failing:
            self._failing = True
            tell(error)

    # the connection

    def _try_open(self) -> None:
        began = time.monotonic()
        try:
            self._store.open()
        except (sqlite3.Error, OSError) as error:
            self._note(error)
            now = time.monotonic()
            self._retry = now + REOPEN_SECONDS * max(1.0, 10 * (now - began))  # to look may take minutes
            return
        self._open = True

    def _reopened(self) -> bool:
        if time.monotonic() >= self._retry:
            try:
                self._try_open()
            except FastChatError as error:  # somebody has put another file in its place
                self._note(error)
                self._retry = time.monotonic() + REOPEN_SECONDS
            if self._open:
                self._tell_reopened()
        return self._open

    def _drop(self) -> None:
        if self._open:
            self._open = False
            self._retry = time.monotonic() + REOPEN_SECONDS
            try:
                self._store.drop()
            except sqlite3.Error:
                pass  # it has failed already

    def _close(self) -> None:
        try:
            self._store.close()
        except (sqlite3.Error, OSError) as error:
            LOG.error("the store could not be closed in order (%s: %s)", type(error).__name__, error)
