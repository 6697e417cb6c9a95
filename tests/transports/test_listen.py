"""Listening sockets: exposure, ports, options, Unix sockets."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from fastchat.config import Config, Guests
from fastchat.errors import ConfigError
from fastchat.transports.listen import UnixListener, is_public, resolve, tcp_sockets


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.mark.parametrize(
    ("address", "public"),
    [("127.0.0.1", False), ("127.1.2.3", False), ("::1", False), ("0.0.0.0", True), ("::", True),
     ("192.0.2.7", True), ("10.0.0.1", True), ("fe80::1%eth0", True)],
)  # fmt: skip
def test_which_addresses_others_can_reach(address: str, public: bool) -> None:
    assert is_public(address) is public


SAFE: dict[str, object] = {"token_algorithm": "HS256", "tls_cert": "a", "tls_key": "b"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token_algorithm": ""}, "asks nobody who they are: set up tokens"),
        ({"token_algorithm": "", "guests": Guests.ANYONE}, "asks nobody who they are: set up tokens"),
        ({"guests": Guests.ANYONE}, 'set guests = "nobody" or "local"'),
        ({"tls_cert": None, "tls_key": None}, "give --tls-cert"),
    ],
)
def test_a_public_bind_is_refused_and_says_what_to_do(
    host: str, change: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){says}.*127\.0\.0\.1.*--allow-insecure-bind"):
        tcp_sockets(Config(**{"host": host, "port": 0} | SAFE | change))  # type: ignore[arg-type]
    if has_ipv6() or host != "::":
        given = {"host": host, "port": 0} | SAFE | change | {"allow_insecure_bind": True}
        config = Config(**given)  # type: ignore[arg-type]
        if config.token_algorithm or config.guests is Guests.ANYONE:
            for listener in tcp_sockets(config):
                listener.close()
            return
        with pytest.raises(ConfigError, match='nobody there could come in.*guests = "anyone"'):
            tcp_sockets(config)


def test_a_public_bind_with_tokens_and_tls_is_done() -> None:
    for guests in (Guests.LOCAL, Guests.NOBODY):
        (listener,) = tcp_sockets(Config(host="0.0.0.0", port=0, guests=guests, **SAFE))  # type: ignore[arg-type]
        with listener:
            assert listener.getsockname()[0] == "0.0.0.0"


def test_a_taken_port_gives_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken.*--port"):
            tcp_sockets(Config(port=port))


def test_an_address_of_another_machine_gives_advice() -> None:
    with pytest.raises(ConfigError, match="no address of this machine.*--host"):
        tcp_sockets(Config(host="192.0.2.1", port=0, allow_insecure_bind=True, guests=Guests.ANYONE))


@pytest.mark.parametrize("host", ["no such host", "x" * 300])
def test_a_name_that_means_nothing_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        tcp_sockets(Config(host=host, port=0))


@needs_ipv6
def test_ipv6_loopback_is_no_public_address() -> None:
    (listener,) = tcp_sockets(Config(host="::1", port=0))
    with listener:
        assert listener.family == socket.AF_INET6


def test_all_addresses_of_a_name_share_one_port() -> None:
    sockets = tcp_sockets(Config(host="localhost", port=0))
    try:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
        assert {listener.getsockname()[0] for listener in sockets} <= {"127.0.0.1", "::1"}
        assert len(sockets) == len({listener.family for listener in sockets})
    finally:
        for listener in sockets:
            listener.close()


def test_a_name_gives_each_address_once() -> None:
    found = resolve("localhost", 5)
    assert len(found) == len(set(found)) >= 1


def test_accepted_sockets_inherit_their_options() -> None:
    (listener,) = tcp_sockets(Config(port=0, sndbuf=64 * 1024, notsent_lowat=8 * 1024))
    with listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            listener.setblocking(True)
            accepted, _ = listener.accept()
            with accepted:
                doubled = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)  # Linux does that
                assert doubled == 2 * 64 * 1024
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 8 * 1024
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_unix_socket_is_for_its_user_alone_and_goes_with_its_server(tmp_path: Path) -> None:
    path = str(tmp_path / "chat")
    listener = UnixListener(path, Config())
    with listener.socket:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        listener.remove()
    assert not os.path.exists(path)


def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "chat")
    UnixListener(path, Config()).socket.close()  # died without removing its file
    listener = UnixListener(path, Config())
    with listener.socket, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_living_servers_socket_is_not_stolen(tmp_path: Path) -> None:
    path = str(tmp_path / "chat")
    first = UnixListener(path, Config())
    with first.socket:
        with pytest.raises(ConfigError, match="already listens.*--unix"):
            UnixListener(path, Config())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_living_server_with_a_full_backlog_is_not_stolen_from(tmp_path: Path) -> None:
    path = str(tmp_path / "chat")
    first = UnixListener(path, Config(backlog=0))
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    try:
        with first.socket:
            for client in clients:
                client.setblocking(False)
                try:
                    client.connect(path)
                except BlockingIOError:
                    break
            else:
                pytest.fail("the backlog never was full")
            with pytest.raises(ConfigError, match="already listens"):
                UnixListener(path, Config())
    finally:
        for client in clients:
            client.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        UnixListener(str(path), Config())
    assert path.read_text() == "precious"


def test_another_servers_file_is_not_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "chat")
    first = UnixListener(path, Config())
    with first.socket:
        os.rename(path, path + ".moved")
        second = UnixListener(path, Config())
        with second.socket:
            first.remove()
            assert os.path.exists(path)
            second.remove()
            second.remove()  # gone already: nothing to do
    assert not os.path.exists(path)


@pytest.mark.parametrize("name", ["missing/chat", "x" * 200])
def test_a_path_that_cannot_be_gives_the_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot make the Unix socket"):
        UnixListener(str(tmp_path / name), Config())
