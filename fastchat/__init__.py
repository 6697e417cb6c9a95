"""fastchat: an event-driven chat server, and a client for it.

async with fastchat.connect("tcp://127.0.0.1:9999", name="ada") as chat:
    await chat.publish("lobby", "hi")
    async for message in chat.room("lobby"):
        print(message.user, message.data)
"""

from importlib.metadata import PackageNotFoundError, version

from fastchat import errors
from fastchat.client import CannotConnect, Message, Refused, connect, connect_sync
from fastchat.errors import Code, FastChatError

try:
    __version__ = version("fastchat")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

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
