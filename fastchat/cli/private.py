"""Files that others must not read: keys and tokens.

Invariant: what is written could not be read by others at any moment, and nothing is overwritten unasked.
"""

from __future__ import annotations

import os
import secrets

from fastchat.cli.failure import USAGE, Failure

PRIVATE = 0o600  # its owner reads and writes it, nobody else
SUFFIX_BYTES = 8  # random ones, of a file that takes the place of another: no two alike


def write(path: str, data: bytes, hint: str, mode: int = PRIVATE) -> None:
    """Make a new file; where there is one already, Failure says `hint`."""
    try:
        _create(path, data, mode)
    except FileExistsError:
        raise Failure(f"{path} is there already: {hint}", USAGE) from None
    except OSError as error:
        raise _cannot(path, error) from error


def overwrite(path: str, data: bytes) -> None:
    """Make a private file, in place of one that may be there: at once, and with all of its rights anew."""
    beside = f"{path}.{secrets.token_hex(SUFFIX_BYTES)}"
    try:
        _create(beside, data, PRIVATE)
    except OSError as error:
        raise _cannot(path, error) from error
    try:
        os.replace(beside, path)
    except OSError as error:
        os.unlink(beside)
        raise _cannot(path, error) from error


def _create(path: str, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _cannot(path: str, error: OSError) -> Failure:
    return Failure(f"cannot write {path}: {error.strerror or error}", USAGE)
