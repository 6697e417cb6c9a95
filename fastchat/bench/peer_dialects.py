"""The dialects of the peers that fastchat is compared with: the few bytes of each protocol that a load needs.

Every client subscribes to one room and publishes on the same connection, so that its own messages come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastchat.bench.dialects import (
    BINARY,
    CLIENT,
    TEXT,
    Dialect,
    Frame,
    Interlude,
    Script,
    Step,
    delivered,
    masked,
    upgrade,
)


def ws_relay(room: str, port: int, payload: int) -> Script:
    """A WebSocket server that sends every binary message to everybody, as it came; it knows one room."""
    message = Frame(b"", b"")
    return Script(
        opening=(upgrade("/", port),),
        publish=message,
        delivery=delivered(BINARY, message, payload),
        websocket=True,
    )


def nats(room: str, port: int, payload: int) -> Script:
    """NATS core (docs.nats.io, "Client Protocol"): lines, and payloads with their length in front.

    The server speaks first, with INFO. PONG says that all before the PING was done, the subscription too.
    Several publishers have no order in common: each member gets what the server's threads make of it.
    """
    subject = room.encode()
    options = b'{"verbose":false,"pedantic":false,"echo":true,"lang":"bench","version":"0","protocol":1}'
    return Script(
        opening=(
            Step(until=b"\r\n", holds=b"INFO {"),
            Step(b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (options, subject), b"PONG\r\n"),
        ),
        publish=Frame(b"PUB %b %d\r\n" % (subject, payload), b"\r\n"),
        delivery=Frame(b"MSG %b 1 %d\r\n" % (subject, payload), b"\r\n"),
        interludes=(
            Interlude(b"PING", b"\r\n", answer=b"PONG\r\n"),
            Interlude(b"INFO ", b"\r\n"),  # when the cluster changes
            Interlude(b"+OK", b"\r\n"),
            Interlude(b"-ERR ", b"\r\n", wrong=True),
        ),
        one_publisher=True,
    )


def bulk(*words: bytes) -> bytes:
    """A command of RESP: an array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis(room: str, port: int, payload: int) -> Script:
    """Redis publish and subscribe, RESP3 (github.com/redis/redis-specifications, RESP3.md).

    Only after HELLO 3 may a subscriber publish. Messages are pushes (`>`); PUBLISH is answered with the
    number of receivers, behind or in front of one's own copy.
    """
    channel = room.encode()
    named = b"$%d\r\n%b\r\n" % (len(channel), channel)
    return Script(
        opening=(
            Step(bulk(b"HELLO", b"3"), b"modules\r\n*", b"%"),
            Step(bulk(b"SUBSCRIBE", channel), b">3\r\n$9\r\nsubscribe\r\n%b:1\r\n" % named),
        ),
        publish=Frame(b"*3\r\n$7\r\nPUBLISH\r\n%b$%d\r\n" % (named, payload), b"\r\n"),
        delivery=Frame(b">3\r\n$7\r\nmessage\r\n%b$%d\r\n" % (named, payload), b"\r\n"),
        interludes=(Interlude(b":", b"\r\n"), Interlude(b"-", b"\r\n", wrong=True)),
    )


def remaining(size: int) -> bytes:
    """A length of MQTT: seven bits a byte, the lowest first (MQTT 3.1.1, section 2.2.3)."""
    out = bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes((*out, size))


def field(text: bytes) -> bytes:
    """A string of MQTT with its length in front (section 1.5.3)."""
    return len(text).to_bytes(2, "big") + text


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + remaining(len(body)) + body


def mqtt(room: str, port: int, payload: int) -> Script:
    """MQTT 3.1.1, QoS 0, clean session, no keep-alive: a delivery is byte for byte the publish."""
    topic = field(room.encode())
    level, clean, keep_alive = b"\x04", b"\x02", b"\x00\x00"  # section 3.1.2
    connect = packet(0x10, field(b"MQTT") + level + clean + keep_alive + field(CLIENT))
    subscribe = packet(0x82, b"\x00\x01" + topic + b"\x00")
    message = Frame(b"\x30" + remaining(len(topic) + payload) + topic, b"")
    return Script(
        opening=(
            Step(connect, b"\x20\x02\x00\x00"),  # CONNACK: accepted
            Step(subscribe, b"\x90\x03\x00\x01\x00"),  # SUBACK: QoS 0 granted
        ),
        publish=message,
        delivery=message,
        interludes=(Interlude(b"\xd0\x00"),),  # PINGRESP
    )


def socketio(room: str, port: int, payload: int) -> Script:
    """Socket.IO 5 in Engine.IO 4 over a WebSocket (socket.io/docs/v4, "The Engine.IO protocol").

    Packets are text: 0 open, 2 ping, 3 pong, 4 message; within a message 0 connect, 2 event. It knows one
    room: everybody.
    """
    message = Frame(b'42["m","', b'"]')
    return Script(
        opening=(
            upgrade("/socket.io/?EIO=4&transport=websocket", port),
            Step(until=b"}", holds=b'0{"sid":'),
            Step(masked(TEXT, b"40"), b'"}', b'40{"sid":"'),
        ),
        publish=message,
        delivery=delivered(TEXT, message, payload),
        interludes=(
            Interlude(b"\x81\x012", answer=masked(TEXT, b"3")),  # the heartbeat: unanswered, it closes
            Interlude(b"\x81\x0241", wrong=True),  # disconnected by the server
        ),
        websocket=True,
        opcode=TEXT,
    )


PEERS: Mapping[str, Dialect] = MappingProxyType(
    {"ws-relay": ws_relay, "nats": nats, "redis": redis, "mqtt": mqtt, "socketio": socketio}
)
