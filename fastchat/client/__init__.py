"""The client: `connect` for asyncio, `connect_sync` for scripts.

Made of the protocol and nothing else of the server, so that it may stand alone.
"""

from fastchat.client.chat import Chat
from fastchat.client.entrance import connect, connect_sync
from fastchat.client.events import (
    Ack,
    Change,
    Complaint,
    Direct,
    Event,
    Gap,
    Joined,
    Left,
    Lost,
    Member,
    Members,
    Message,
    Notice,
    Offline,
    Online,
    Presence,
    RoomEvent,
    Signal,
)
from fastchat.client.failures import (
    CannotConnect,
    Closed,
    Disconnected,
    Refused,
    RequestTimeout,
    ServerFault,
)
from fastchat.client.room import Room
from fastchat.client.sync import SyncChat, SyncRoom
from fastchat.client.tokens import Token

__all__ = [
    "Ack",
    "CannotConnect",
    "Change",
    "Chat",
    "Closed",
    "Complaint",
    "Direct",
    "Disconnected",
    "Event",
    "Gap",
    "Joined",
    "Left",
    "Lost",
    "Member",
    "Members",
    "Message",
    "Notice",
    "Offline",
    "Online",
    "Presence",
    "Refused",
    "RequestTimeout",
    "Room",
    "RoomEvent",
    "ServerFault",
    "Signal",
    "SyncChat",
    "SyncRoom",
    "Token",
    "connect",
    "connect_sync",
]
