"""The two ways in: `connect` for asyncio, `connect_sync` for code that blocks."""

from __future__ import annotations

import ssl

from fastchat.client.chat import QUEUE_BYTES, TIMEOUT, Chat
from fastchat.client.sync import SyncChat
from fastchat.client.tokens import Token


def connect(
    url: str,
    *,
    name: str | None = None,
    token: Token | None = None,
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
    queue_bytes: int = QUEUE_BYTES,
) -> Chat:
    """Make a client for a server: `async with fastchat.connect("tcp://127.0.0.1:9999", name="ada") as chat`.

    `url`: tcp://HOST:PORT, ws://HOST:PORT/ws (tcps, wss for TLS) or unix:/PATH, else ValueError. Without
    `name` the server gives one. `token`: a text, or a function (asynchronous, if it has to wait) that gives
    a fresh one: it is called at the start, before a token ends, and once after one was refused. `timeout`:
    seconds for an answer. `queue_bytes`: what may wait for whoever iterates before the socket is no longer
    read. Entering raises CannotConnect or Refused.
    """
    return Chat(url, name=name, token=token, timeout=timeout, tls=tls, queue_bytes=queue_bytes)


def connect_sync(
    url: str,
    *,
    name: str | None = None,
    token: Token | None = None,
    timeout: float = TIMEOUT,
    tls: ssl.SSLContext | None = None,
    queue_bytes: int = QUEUE_BYTES,
) -> SyncChat:
    """Make a blocking client: `with fastchat.connect_sync("tcp://127.0.0.1:9999", name="ada") as chat`.

    Arguments and errors are those of `connect`.
    """
    return SyncChat(
        lambda: Chat(url, name=name, token=token, timeout=timeout, tls=tls, queue_bytes=queue_bytes)
    )
