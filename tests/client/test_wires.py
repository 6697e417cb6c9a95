from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from fastchat.client.failures import ServerFault
from fastchat.client.wires import SUBPROTOCOL, TcpWire, Wire, WsWire
from fastchat.protocol.framing import tcp_frame, ws_frame

URL = "ws://127.0.0.1:9/ws"


def cut_all(wire: Wire) -> list[bytes]:
    found: list[bytes] = []
    while payloads := wire.cut():
        found += payloads
    return found


def handshake(**given: object) -> tuple[WsWire, ServerProtocol, bytes]:
    """A wire, the server's library that it talks to, and the server's answer, not yet fed."""
    wire = WsWire(URL)
    server = ServerProtocol(subprotocols=[SUBPROTOCOL], **given)  # type: ignore[arg-type]
    server.receive_data(wire.start())
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    return wire, server, b"".join(server.data_to_send())


def opened() -> tuple[WsWire, ServerProtocol]:
    wire, server, answer = handshake()
    wire.feed(answer)
    assert wire.ready and wire.cut() == []
    return wire, server


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(0, 200), max_size=5))
def test_tcp_payloads_come_whole_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    wire = TcpWire()
    assert wire.ready and wire.start() == wire.replies() == wire.goodbye() == b""
    stream = b"".join(wire.frame(payload) for payload in payloads)
    found: list[bytes] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
        wire.feed(stream[start:end])
        found += cut_all(wire)
    assert found == payloads


def test_a_tcp_frame_over_the_limit_is_found_out_by_its_length() -> None:
    wire = TcpWire()
    wire.feed(tcp_frame(b"x") + b"\x00\x20\x00\x00")
    assert wire.cut() == [b"x"]
    with pytest.raises(ServerFault):
        wire.cut()


def test_http_on_a_tcp_wire_is_found_out() -> None:
    wire = TcpWire()
    wire.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ServerFault, match="no fastchat server"):
        wire.cut()


def test_the_handshake_offers_our_subprotocol_and_no_compression() -> None:
    wire, server, answer = handshake(extensions=[ServerPerMessageDeflateFactory()])
    assert server.extensions == [] and server.subprotocol == SUBPROTOCOL
    assert not wire.ready
    wire.feed(answer)
    assert wire.ready


def test_the_handshake_survives_being_cut_anywhere() -> None:
    wire, _, answer = handshake()
    stream = answer + ws_frame(b"payload")
    found: list[bytes] = []
    for byte in stream:
        wire.feed(bytes((byte,)))
        found += wire.cut()
    assert found == [b"payload"]


def test_ws_payloads_go_both_ways() -> None:
    wire, server = opened()
    server.receive_data(wire.frame(b"one") + wire.frame(b"two" * 1000))
    frames = server.events_received()
    assert [(f.opcode, f.data) for f in frames if isinstance(f, Frame)] == [
        (Opcode.BINARY, b"one"),
        (Opcode.BINARY, b"two" * 1000),
    ]
    wire.feed(ws_frame(b"three") + ws_frame(b"four"))
    assert cut_all(wire) == [b"three", b"four"]


def test_fragments_are_put_together_and_pings_answered_between_them() -> None:
    wire, server = opened()
    server.send_binary(b"ab", fin=False)
    server.send_ping(b"!")
    server.send_continuation(b"cd", fin=False)
    server.send_continuation(b"ef", fin=True)
    wire.feed(b"".join(server.data_to_send()))
    assert cut_all(wire) == [b"abcdef"]
    server.receive_data(wire.replies())
    (pong,) = server.events_received()
    assert isinstance(pong, Frame) and (pong.opcode, pong.data) == (Opcode.PONG, b"!")


def test_text_is_a_fault() -> None:
    wire, server = opened()
    server.send_text(b"hi")
    wire.feed(b"".join(server.data_to_send()))
    with pytest.raises(ServerFault, match="text"):
        cut_all(wire)


@pytest.mark.parametrize(
    "broken", [b"\xf2\x00", b"\x82\xff" + b"\0" * 12, b"\x83\x00", b"\x82\x7f" + b"\xff" * 8]
)
def test_broken_frames_are_a_fault_after_what_was_whole(broken: bytes) -> None:
    wire, _ = opened()
    wire.feed(ws_frame(b"whole") + broken)
    assert wire.cut() == [b"whole"]
    with pytest.raises(ServerFault, match="broken"):
        wire.cut()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x00\x00\x00\x05hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_whoever_does_not_shake_hands_is_no_server_of_ours(answer: bytes) -> None:
    wire = WsWire(URL)
    wire.start()
    wire.feed(answer)
    with pytest.raises(ServerFault, match="no WebSocket"):
        wire.cut()
    assert not wire.ready


def test_goodbye_closes_and_nothing_is_sent_after_it() -> None:
    wire, server = opened()
    server.receive_data(wire.goodbye())
    assert server.close_rcvd is not None and server.close_rcvd.code == 1000
    assert wire.frame(b"late") == b"" and wire.goodbye() == b""


def test_a_wire_that_never_opened_says_no_goodbye() -> None:
    wire = WsWire(URL)
    wire.start()
    assert wire.goodbye() == b"" and wire.frame(b"early") == b""
