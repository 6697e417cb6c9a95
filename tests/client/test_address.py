from __future__ import annotations

import pytest

from fastchat.client.address import Address


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("tcp://127.0.0.1:9999", Address("tcp://127.0.0.1:9999", "127.0.0.1", 9999)),
        ("tcp://chat.example", Address("tcp://chat.example", "chat.example", 9999)),
        ("tcp://chat.example/", Address("tcp://chat.example/", "chat.example", 9999)),
        ("tcps://[::1]:7", Address("tcps://[::1]:7", "::1", 7, tls=True)),
        ("ws://h:81", Address("ws://h:81/ws", "h", 81, websocket=True)),
        ("ws://h", Address("ws://h/ws", "h", 80, websocket=True)),
        ("wss://h/chat/ws", Address("wss://h/chat/ws", "h", 443, websocket=True, tls=True)),
        ("unix:/run/chat.sock", Address("unix:/run/chat.sock", path="/run/chat.sock")),
        ("unix:///run/chat.sock", Address("unix:///run/chat.sock", path="/run/chat.sock")),
        ("unix:chat.sock", Address("unix:chat.sock", path="chat.sock")),
    ],
)
def test_addresses_are_read(url: str, found: Address) -> None:
    assert Address.parse(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:9999", "localhost", "http://h:1", "tcp:", "tcp://", "tcp://:9999", "tcp://h:0",
        "tcp://h:65536", "tcp://h:port", "tcp://h/path", "tcp://user@h", "tcp://h?q", "tcp://h#f", "unix:",
        "unix:a\0b", "ws://", "ws://h?token=1", "TCP//h",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(url)
