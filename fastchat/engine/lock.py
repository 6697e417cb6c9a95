"""The folder of what is kept, and the lock that lets one process have it.

Invariant: while a `Lock` is held nobody else holds the lock of the same folder; the kernel lets go of it when
its process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from fastchat.errors import ConfigError

FILE = "lock"
FOLDER_MODE = 0o700  # what people wrote is in there
FILE_MODE = 0o600


class Lock:
    """Holds a folder, made if it is not there, until `release`. Raises ConfigError, with what to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            _make(folder)
            self._descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise ConfigError(
                f"{folder}: {error.strerror or error}; name another folder with --data"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise ConfigError(
                f"{folder} is in use by another fastchat (pid {holder or '?'}); stop it, or name another"
                " folder with --data"
            ) from None
        with suppress(OSError):  # the disk is full: whoever comes next does not learn the pid
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; the file stays, for whoever waits for it would else hold one that nobody sees."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    sync(folder.parent)


def sync(folder: Path) -> None:
    """See to it that the names in a folder survive the loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
