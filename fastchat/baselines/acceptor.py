"""A thread for each connection: accept, start, and in the end wait until all of them are through.

Invariant: when `serve` returns, the listeners are closed and every connection was shut.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
from abc import ABC, abstractmethod

from fastchat.baselines.listener import listeners, named
from fastchat.config import Config
from fastchat.transports.caps import connection_cap, raise_descriptor_limit

STACK_BYTES = 128 * 1024  # address space of a thread: what it does not touch takes no memory
END_SECONDS = 5.0  # for the threads, once their connections are shut
BREATH = 0.1  # seconds before accepting again where descriptors have run out
DESCRIPTORS_OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

LOG = logging.getLogger(__name__)


class Acceptor(ABC):
    """A server of threads: `listen()`, then `serve()` until `stop()` is called elsewhere."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[socket.socket] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()  # guards `_open`
        self._most = 0
        self._pair: tuple[socket.socket, socket.socket] | None = None  # a byte in it ends `serve`

    @abstractmethod
    def _talk(self, sock: socket.socket) -> None:
        """Serve a connection, in a thread of its own; closing it is not needed."""

    @abstractmethod
    def _refuse(self, sock: socket.socket) -> None:
        """Say something to one that is too many."""

    @abstractmethod
    def _part(self) -> None:
        """Say something to all, when the end has come."""

    @property
    def addresses(self) -> list[str]:
        """Where it listens: "127.0.0.1:9999"."""
        return [named(one) for one in self._listeners]

    def listen(self) -> None:
        """Let clients come; they wait until `serve`. Raises ConfigError."""
        self._listeners = listeners(self._config)
        self._most = connection_cap(self._config.max_connections, raise_descriptor_limit())
        self._pair = socket.socketpair()

    def stop(self) -> None:
        """Let `serve` come to its end; from any thread or signal handler, in vain where it has."""
        if self._pair is not None:
            self._pair[1].send(b"\0")

    def serve(self) -> None:
        """Talk to everybody until `stop`, then end everything."""
        assert self._pair is not None, "listen() comes first"
        pair, before = self._pair, threading.stack_size(STACK_BYTES)
        try:
            with selectors.DefaultSelector() as selector:
                for one in (*self._listeners, pair[0]):
                    selector.register(one, selectors.EVENT_READ)
                while pair[0] not in (ready := [key.fileobj for key, _ in selector.select()]):
                    for one in self._listeners:
                        if one in ready:
                            self._accept(one)
        finally:
            threading.stack_size(before)
            self._end()
            self._pair = None
            for one in pair:
                one.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:  # else it is one that has gone again
            if error.errno in DESCRIPTORS_OUT:
                LOG.warning("no connection accepted: %s (ulimit -n)", error.strerror)
                with self._changed:
                    self._changed.wait(BREATH)
            return
        self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        with self._changed:
            room = len(self._open) < self._most
            if room:
                self._open.add(sock)
        if room:
            try:
                threading.Thread(target=self._run, args=(sock,), daemon=True).start()
                return
            except RuntimeError:
                LOG.warning("no connection accepted: no further thread can be started")
        with sock:
            try:
                self._refuse(sock)
            except OSError as error:
                LOG.debug("a connection was refused and had gone: %s", error)
        self._forget(sock)

    def _run(self, sock: socket.socket) -> None:
        try:
            self._talk(sock)
        except OSError as error:
            LOG.debug("a connection ended: %s", error)
        except Exception:
            LOG.exception("a connection failed")
        finally:
            sock.close()
            self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        with self._changed:
            self._open.discard(sock)
            self._changed.notify_all()

    def _end(self) -> None:
        for one in self._listeners:
            one.close()
        self._part()
        with self._changed:
            left = list(self._open)
        for sock in left:
            shut(sock)
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, END_SECONDS):
                LOG.warning("%d connections did not end in time", len(self._open))


def shut(sock: socket.socket) -> None:
    """Wake whoever reads from or writes to it; what was written still arrives."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has gone already
