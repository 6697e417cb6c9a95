"""fastchat: an event-driven chat server, and a client for it.

async with fastchat.connect("tcp://127.0.0.1:9999", name="ada") as chat:
    await chat.publish("lobby", "hi")
    async for message in chat.room("lobby"):
        print(message.user, message.data)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fastchat import errors
from fastchat.client import CannotConnect, Message, Refused, connect, connect_sync
from fastchat.errors import Code, FastChatError

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Look `__version__` up when it is asked for: importlib.metadata costs a quarter of our start."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        metadata = importlib.import_module("importlib.metadata")
        try:
            return metadata.version("fastchat")
        except metadata.PackageNotFoundError:  # a checkout that was never installed
            return "0+unknown"


__all__ = [
    "CannotConnect",
    "Code",
    "FastChatError",
    "Message",
    "Refused",
    "__version__",
    "connect",
    "connect_sync",
    "errors",
]
