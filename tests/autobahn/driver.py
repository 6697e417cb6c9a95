"""Run the Autobahn cases against an echo: `python -m tests.autobahn.driver ws://127.0.0.1:PORT/ws`.

Prints one JSON object: for each case its verdict, that of the closing, the close code that came and a text.
Several cases run side by side: most of them only wait to see that nothing comes.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor as installed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.autobahn.python2 import inward, outward
from tests.autobahn.suite import cases

reactor: Any = installed


class Peer(WebSocketClientProtocol):  # type: ignore[misc]
    """The client that a case speaks through; converts strings and keeps what cases look at."""

    def __init__(self, case: type, report: dict[str, Any]) -> None:
        super().__init__()
        self.connectionWasOpen = False
        self.createWirelog = False
        self.txFrameStats: collections.Counter[int] = collections.Counter()
        self._report = report
        self._case: Any = case(self)

    def sendFrame(self, opcode: int, payload: str | bytes = b"", **more: Any) -> None:
        super().sendFrame(opcode, outward(payload), **more)

    def sendMessage(self, payload: str | bytes, isBinary: bool = False, **more: Any) -> None:
        super().sendMessage(outward(payload), isBinary, **more)

    def sendMessageFrameData(self, payload: str | bytes, sync: bool = False) -> Any:
        return super().sendMessageFrameData(outward(payload), sync)

    def sendCloseFrame(self, code: Any = None, reasonUtf8: Any = None, isReply: bool = False) -> None:
        super().sendCloseFrame(code, None if reasonUtf8 is None else outward(reasonUtf8), isReply)

    def logTxFrame(self, frameHeader: Any, *rest: Any) -> None:
        self.txFrameStats[frameHeader.opcode] += 1

    def logRxFrame(self, *rest: Any) -> None:
        pass

    logRxOctets = logTxOctets = logRxFrame

    def enableWirelog(self, enable: bool) -> None:
        pass

    def continueLater(self, delay: float, act: Any, tag: str | None = None) -> None:
        reactor.callLater(delay, self._unless_closed, act)

    def killAfter(self, delay: float) -> None:
        reactor.callLater(delay, self._unless_closed, self._fail_connection)

    def closeAfter(self, delay: float) -> None:
        reactor.callLater(delay, self._unless_closed, self.sendClose)

    def _unless_closed(self, act: Any) -> None:
        if self.state != self.STATE_CLOSED:
            act()

    def onOpen(self) -> None:
        self.connectionWasOpen = True
        self._case.onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._case.onMessage(inward(payload), isBinary)

    def onPing(self, payload: bytes) -> None:
        self.sendPong(payload)
        self._case.onPing(inward(payload))

    def onPong(self, payload: bytes) -> None:
        self._case.onPong(inward(payload))

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self._case.onClose(wasClean, code, reason)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        super().connectionLost(reason)
        case = self._case
        try:
            case.onConnectionLost(self.failedByMe)
        except Exception as error:
            case.behavior, case.result = "FAILED", f"the case raised {error!r}"
        self._report.update(
            behavior=case.behavior, close=case.behaviorClose, code=self.remoteCloseCode, result=case.result
        )


class Factory(WebSocketClientFactory):  # type: ignore[misc]
    """Makes the one connection of a case, and tells when it is over."""

    def __init__(self, url: str, case: type, report: dict[str, Any], over: Any) -> None:
        super().__init__(url)
        self.logFrames = True
        self.setProtocolOptions(failByDrop=False)
        self._made = lambda: Peer(case, report)
        self._report = report
        self._over = over

    def buildProtocol(self, addr: Any) -> Peer:
        peer = self._made()
        peer.factory = self
        return peer

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self._over()

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self._report.update(behavior="FAILED", close="FAILED", code=None, result="no connection")
        self._over()


class Run:
    """Runs cases, so many at a time, and stops the reactor after the last."""

    def __init__(self, url: str, chosen: dict[str, type], abreast: int) -> None:
        self._url = url
        self._left = list(chosen.items())
        self._abreast = abreast
        self._running = 0
        self.reports: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        while self._left and self._running < self._abreast:
            number, case = self._left.pop(0)
            report = self.reports[number] = {}
            self._running += 1
            factory = Factory(self._url, case, report, self._ended)
            reactor.connectTCP(factory.host, factory.port, factory, timeout=5)
        if not self._running:
            reactor.stop()

    def _ended(self) -> None:
        self._running -= 1
        self.start()


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the Autobahn cases against an echo.")
    parser.add_argument("url")
    parser.add_argument("--only", default="", help="beginnings of case numbers, with commas between")
    parser.add_argument("--without", default="", help="likewise, of cases to leave out")
    parser.add_argument("--abreast", type=int, default=1, help="how many at a time")
    parser.add_argument("--seconds", type=float, default=120.0, help="give up after so long")
    chosen = parser.parse_args()
    only = tuple(part for part in chosen.only.split(",") if part) or ("",)
    without = tuple(part for part in chosen.without.split(",") if part)
    picked = {
        number: case
        for number, case in cases().items()
        if number.startswith(only) and not (without and number.startswith(without))
    }
    run = Run(chosen.url, picked, chosen.abreast)
    reactor.callWhenRunning(run.start)
    reactor.callLater(chosen.seconds, reactor.stop)
    reactor.run()
    json.dump(run.reports, sys.stdout)


if __name__ == "__main__":
    main()
