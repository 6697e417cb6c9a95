"""Listening sockets: addresses, their options, the Unix socket.

Options are set on the listener, from which Linux hands them to every accepted socket, so accepting costs no
further calls. What cannot work is a `ConfigError` that says what to do.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import stat

from fastchat.config import Config, Guests
from fastchat.errors import ConfigError

NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # not on every platform
SAME_PORT_TRIES = 10  # port 0 on several addresses: the kernel's choice for one may be taken on another

Place = tuple[socket.AddressFamily, tuple[str, int]]


def is_public(address: str) -> bool:
    """Whether others than this machine can reach the address."""
    return not ipaddress.ip_address(address.partition("%")[0]).is_loopback


def resolve(host: str, port: int) -> list[Place]:
    """The addresses a host name stands for, in order, each once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host!r}: {error}. Give an address of this machine.") from error
    listed = [(family, (str(place[0]), int(place[1]))) for family, _, _, _, place in found]
    return list(dict.fromkeys(entry for entry in listed if entry[0] in (socket.AF_INET, socket.AF_INET6)))


def check_exposure(config: Config, addresses: list[str]) -> None:
    """Refuse an address that others can reach who need not show, unseen, who they are, or may flood."""
    exposed = [address for address in addresses if is_public(address)]
    if not exposed:
        return
    where = f"{config.host!r} can be reached from other machines ({', '.join(exposed)}), and "
    if not config.rate_limits:
        raise ConfigError(
            f"{where}without rate limits any one of them could flood everybody. Listen on 127.0.0.1, or "
            "leave the limits on: no rate_limits = false, no --limits off. What is too strict can be raised "
            "for each namespace (docs/CONFIGURATION.md)."
        )
    if config.allow_insecure_bind:
        if config.token_algorithm or config.guests is Guests.ANYONE:
            return
        raise ConfigError(
            f"{where}nobody there could come in: there are no tokens, and guests come from this machine "
            'only. Let anybody in under any name with guests = "anyone" (--guests anyone), or set up tokens '
            "(docs/IDENTITY.md)."
        )
    if not config.token_algorithm:
        lacks = "this server asks nobody who they are: set up tokens (docs/IDENTITY.md)"
    elif config.guests is Guests.ANYONE:
        lacks = 'anybody may come in without a token: set guests = "nobody" or "local"'
    elif config.tls_cert is None:
        lacks = "tokens would go there for all to read: give --tls-cert and --tls-key"
    else:
        return
    raise ConfigError(
        f"{where}{lacks}. Or listen on 127.0.0.1 with a proxy in front; or, where that is no danger, say so: "
        "allow_insecure_bind = true, or --allow-insecure-bind."
    )


def tcp_sockets(config: Config) -> list[socket.socket]:
    """Bound, not yet listening sockets on all addresses of the host, all on one port."""
    found = resolve(config.host, config.port)
    check_exposure(config, [place[0] for _, place in found])
    for attempt in range(SAME_PORT_TRIES):
        try:
            return _bind_all(config, found)
        except OSError as error:
            again = config.port == 0 and error.errno == errno.EADDRINUSE and len(found) > 1
            if not again or attempt == SAME_PORT_TRIES - 1:
                raise ConfigError(_advice(config, error)) from error
    raise AssertionError("the last try returns or raises")


def _bind_all(config: Config, found: list[Place]) -> list[socket.socket]:
    bound: list[socket.socket] = []
    port = config.port
    try:
        for family, (address, _) in found:
            try:
                bound.append(_tcp_socket(config, family, address, port))
            except OSError as error:
                # "localhost" may name ::1 on a machine that has no IPv6
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(found) > 1:
                    continue
                raise
            port = bound[-1].getsockname()[1]
        if not bound:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    except BaseException:
        for each in bound:
            each.close()
        raise
    return bound


def _tcp_socket(config: Config, family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.sndbuf)
        if NOTSENT_LOWAT is not None:
            listener.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, config.notsent_lowat)
        listener.bind((address, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _advice(config: Config, error: OSError) -> str:
    where = f"port {config.port} of {config.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken: stop the server that has it, or choose another with --port (0: any)."
    if error.errno == errno.EACCES:
        return f"{where} is not allowed for this user: choose one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{config.host} is no address of this machine: choose one that is with --host."
    return f"cannot listen on {where}: {error.strerror or error}."


class UnixListener:
    """A Unix socket and the file it stands for, which it removes only while the file is its own."""

    def __init__(self, path: str, config: Config) -> None:
        """Bind and listen; only this user may connect (mode 0600).

        The directory is locked meanwhile, so that of two servers that start at once and both see a stale
        file, the second finds the first alive.
        """
        self.path = path
        directory = os.path.dirname(path) or "."
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigError(f"cannot make the Unix socket {path}: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            clear_stale(path)
            self.socket = self._bind(path, config)
        finally:
            os.close(lock)
        self._identity = _identity(path)

    @staticmethod
    def _bind(path: str, config: Config) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.sndbuf)
            listener.bind(path)
            os.chmod(path, 0o600)  # before listen(): until then nobody can connect
            listener.listen(config.backlog)
        except OSError as error:
            listener.close()
            raise ConfigError(f"cannot make the Unix socket {path}: {error.strerror or error}.") from error
        return listener

    def remove(self) -> None:
        """Take the file away, unless another server has put its own there."""
        if _identity(self.path) == self._identity:
            os.unlink(self.path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def clear_stale(path: str) -> None:
    """Remove the socket file of a server that is gone; refuse to touch anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot make the Unix socket {path}: {error.strerror}.") from error
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is no socket: remove it, or choose another path with --unix.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # nobody listens: its server died
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # EAGAIN: its backlog is full, so it lives
                raise ConfigError(f"cannot make the Unix socket {path}: {error.strerror}.") from error
    raise ConfigError(f"a server already listens on {path}: stop it, or choose another path with --unix.")
