"""Mutate frames and feed them to framing and codec: `python -m tests.protocol.fuzz --frames N --seed S`.

Whatever the bytes, the answer is a typed command or a `ProtocolError`; a sample goes to both twins, which
must tell the same. The seed is reported, so that a failure can be run again.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastchat.errors import FrameError, ProtocolError
from fastchat.protocol import _codec_py, _framing_py, codec, framing, jsonwire
from fastchat.protocol.rules import Limits

VECTORS = Path(__file__).parent.parent / "vectors"
BATCH = 50  # frames in one stream
SAMPLE = 8  # of so many streams 4 go to both twins: one of each kind
LIMITS = Limits()
FRAME_LIMIT = 16 * 1024
Told = tuple[Any, ...]

# Bytes that change what the following ones mean: headers of every kind, and their extremes
SPICE = [
    b"\xc1", b"\xc0", b"\xc3", b"\x80", b"\x81", b"\x90", b"\x91", b"\x9f", b"\xa0", b"\xa1\xff", b"\xbf",
    b"\xc4\xff", b"\xc6\xff\xff\xff\xff", b"\xc7\x05\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xca", b"\xcb",
    b"\xcc\x10", b"\xcd\x00\x04", b"\xcf" + b"\xff" * 8, b"\xd3" + b"\xff" * 8, b"\xd4\xfe\x00", b"\xd6\xff",
    b"\xd9\x80", b"\xda\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff",
    b"\xde\x08\x00", b"\xdf\x80\x00\x00\x00", b"\x91" * 40, b"\x81\xc0" * 40, b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xa3key", b"\xa4echo", b"\xa9ephemeral", b"\xa6ttl_ms", b"\xa8reply_to", b"\xa8mentions\x91",
    b"\x04", b"\x10", b"\xff", b"\x00\x00\x00\x00",
]  # fmt: skip


def corpus() -> list[bytes]:
    """Payloads to begin with: the vectors, what is valid more often, for mutation breaks most of it."""
    files = ("commands.json",) * 12 + ("pushes.json", "refused.json")
    cases = [case for name in files for case in json.loads((VECTORS / name).read_text())["cases"]]
    return [payload for case in cases if len(payload := bytes.fromhex(case["hex"])) < 400]


def mutated(payload: bytes, source: random.Random, others: list[bytes]) -> bytes:
    """Break a payload in one to three places; one in eight stays whole."""
    for _ in range(source.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        size = len(payload)
        at = source.randrange(size + 1)
        choice = source.randrange(6)
        if choice == 0 and size:
            at = source.randrange(size)
            payload = payload[:at] + bytes((payload[at] ^ 1 << source.randrange(8),)) + payload[at + 1 :]
        elif choice == 1:
            payload = payload[:at] + source.choice(SPICE) + payload[at:]
        elif choice == 2:
            spice = source.choice(SPICE)
            payload = payload[:at] + spice + payload[at + len(spice) :]
        elif choice == 3:
            payload = payload[:at]
        elif choice == 4:
            payload = payload[:at] + payload[source.randrange(size + 1) :]
        else:
            other = source.choice(others)
            payload = payload[:at] + other[source.randrange(len(other) + 1) :]
    return payload


def client_frame(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    wide = 0 if size < 126 else 2 if size < 65536 else 8
    short = size if not wide else 126 if wide == 2 else 127
    head = bytes((0x82, 0x80 | short)) + (size.to_bytes(wide, "big") if wide else b"") + key
    return head + _framing_py._unmask(payload, key)


def decoded(decode: Callable[[bytes, Limits], Any], payload: bytes) -> Told:
    """What the codec tells about a payload; any error but ProtocolError gets out."""
    try:
        command = decode(payload, LIMITS)
    except ProtocolError as error:
        return ("refused", int(error.code), error.text, error.field, error.id)
    return ("accepted", type(command).__name__, *command)


def parsed(cutter: Any, decode: Callable[[bytes, Limits], Any], chunks: list[bytes]) -> list[Told]:
    """Feed a stream and tell everything that came of it, up to where the connection would be closed."""
    told: list[Told] = []
    unusual = getattr(cutter, "unusual", lambda: False)
    for chunk in chunks:
        cutter.feed(chunk)
        try:
            while payloads := cutter.cut(FRAME_LIMIT, 64):
                told += [decoded(decode, payload) for payload in payloads]
        except FrameError as error:
            return [*told, ("closed", error.text, cutter.peek(), cutter.pending)]
        if unusual():
            return [*told, ("unusual", cutter.take())]
    return [*told, ("waiting", cutter.peek(), cutter.pending)]


def chopped(stream: bytes, source: random.Random) -> list[bytes]:
    step = source.choice((1, 13, 200, 1460, 1 << 20, 1 << 20))
    return [stream[at : at + step] for at in range(0, len(stream), step)]


def others(payload: bytes) -> None:
    """The rarer parsers: pushes for clients, JSON both ways."""
    text = payload
    try:
        codec.unpack(payload, LIMITS)
        text = jsonwire.to_json(payload)  # it passed the scan, so there is text for it
        codec.decode_push(payload)
    except ProtocolError:
        pass
    try:
        jsonwire.from_json(text, LIMITS)
    except ProtocolError:
        pass


def run(frames: int, seed: int) -> Counter[str]:
    """Feed so many mutated frames; returns how many ended how. Raises on the first broken promise."""
    source = random.Random(seed)
    payloads = corpus()
    outcomes: Counter[str] = Counter()
    for number in range((frames + BATCH - 1) // BATCH):
        websocket = number % 2 == 1
        batch = [mutated(source.choice(payloads), source, payloads) for _ in range(BATCH)]
        key = source.randbytes(4)
        parts = [client_frame(one, key) if websocket else _framing_py.tcp_frame(one) for one in batch]
        if number % 4 > 1:  # break the framing itself, anywhere but early, or little would be read
            at = source.randrange(BATCH // 2, BATCH)
            parts[at] = mutated(parts[at], source, parts)
        chunks = chopped(b"".join(parts), source)
        cutter = framing.WsCutter(2) if websocket else framing.TcpFramer()
        told = parsed(cutter, codec.decode_command, chunks)
        if number % SAMPLE < 4:
            pure = _framing_py.WsCutter(2) if websocket else _framing_py.TcpFramer()
            same = parsed(pure, _codec_py.decode_command, chunks)
            assert repr(told) == repr(same), f"the twins differ: {told} {same}"
            for payload in batch[::5]:
                others(payload)
        outcomes.update(f"{one[0]} {one[1]}" if one[0] in ("accepted", "refused") else one[0] for one in told)
        outcomes["frames"] += BATCH
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    twin = "the compiled twin" if codec.EXTENSION and framing.EXTENSION else "the pure twin"
    print(f"{options.frames} frames against {twin}, --seed {options.seed}", flush=True)
    began = time.monotonic()
    outcomes = run(options.frames, options.seed)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:>10}  {outcome}")
    print(f"passed in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
