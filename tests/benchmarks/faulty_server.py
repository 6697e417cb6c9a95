"""A server that is right but for one delivery to one member, or its acknowledgements."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

from benchmarks.naive_server import Hall, NaiveProtocol, frame

FAULTY_MEMBER = 3  # joined fourth: not the publisher, nor the first to see a message
FAULTY_OFFSET = 20

Message = list[Any]  # [66, room, offset, ts, user, data, opts]
Fault = Callable[[Message], list[Message]]  # what the faulty member gets instead
Acknowledge = Callable[[int], list[int]]  # the offsets that are acknowledged for one


class FaultyProtocol(NaiveProtocol):
    def __init__(
        self, hall: Hall, members: list[FaultyProtocol], fault: Fault, acknowledge: Acknowledge
    ) -> None:
        super().__init__(hall)
        self.members = members
        self.fault = fault
        self.acknowledge = acknowledge

    def join(self, id: int, name: str) -> None:
        self.members.append(self)
        super().join(id, name)

    def publish(self, id: int, name: str, data: Any, now: int) -> None:
        room = self.hall.rooms[name]
        room.offset += 1
        message: Message = [66, name, room.offset, now, self.user, data, {}]
        for number, member in enumerate(self.members):
            faulty = room.offset == FAULTY_OFFSET and number == FAULTY_MEMBER
            for one in self.fault(message) if faulty else [message]:
                member.transport.write(frame(one))
        for offset in self.acknowledge(room.offset):
            self.result(id, {"offset": offset, "ts": now})


async def _serve(ports: Queue[int], stop: asyncio.Event, fault: Fault, acknowledge: Acknowledge) -> None:
    hall = Hall()
    members: list[FaultyProtocol] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: FaultyProtocol(hall, members, fault, acknowledge), "127.0.0.1", 0
    )
    ports.put(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()
    for member in members:
        member.transport.abort()
    await asyncio.sleep(0.01)  # their connection_lost


@contextmanager
def serving(fault: Fault, acknowledge: Acknowledge) -> Iterator[int]:
    """The port of a faulty server on a loop in a thread of its own."""
    ports: Queue[int] = Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    serve = _serve(ports, stop, fault, acknowledge)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve,))
    thread.start()
    try:
        yield ports.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
