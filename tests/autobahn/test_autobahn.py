"""The Autobahn suite against the echo: no case may fail (RFC 6455).

Compression is not offered, so 12.* and 13.* are left out; messages over `max_frame` are refused, so of 9.*
those are run that stay within the largest limit there is, 1 MiB.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config
from fastchat.server import Server
from fastchat.transports.echo import EchoConnection
from tests.conftest import Runner
from tests.server.parts import Parts

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
CORE = 247  # cases besides 9.*
WITHIN_LIMIT = "9.1.1,9.1.2,9.1.3,9.2.1,9.2.2,9.2.3,9.5.,9.6.,9.7.1,9.7.4,9.8.1,9.8.4"
# invalid UTF-8 within one frame is found at the frame's end, not at its first wrong byte
LATE = {"6.4.3", "6.4.4"}
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}  # the suite judges nothing there


async def drive(*arguments: str) -> dict[str, Any]:
    """Run cases against an echo of our own and return their reports."""
    server = Server(Config(port=0, max_frame=MIB, outbox_bytes=64 * MIB), echo=True)
    await server.start()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.autobahn.driver", f"ws://127.0.0.1:{server.port}/ws", *arguments,
            stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        printed, _ = await process.communicate()
    finally:
        await server.stop()
    assert process.returncode == 0
    reports: dict[str, Any] = json.loads(printed)
    return reports


def verdicts(reports: dict[str, Any], verdict: str) -> set[str]:
    """The cases with that verdict on what was received or on the closing."""
    return {
        case for case, report in reports.items() if verdict in (report.get("behavior"), report.get("close"))
    }


def test_no_core_case_fails(run: Runner, parts: Parts) -> None:
    reports = run(drive("--without", "9.", "--abreast", "8"), timeout=100)
    counted = Counter(report.get("behavior") for report in reports.values())
    assert len(reports) == CORE
    assert verdicts(reports, "NON-STRICT") <= LATE
    assert verdicts(reports, "INFORMATIONAL") == INFORMATIONAL
    good = verdicts(reports, "OK") | LATE | INFORMATIONAL
    assert {case: report for case, report in reports.items() if case not in good} == {}
    assert counted["OK"] >= CORE - len(LATE | INFORMATIONAL)


def test_large_messages_pass_up_to_the_limit(run: Runner, parts: Parts) -> None:
    reports = run(drive("--only", WITHIN_LIMIT, "--abreast", "2"), timeout=100)
    assert len(reports) == 6 + 6 + 6 + 4
    assert {case: report for case, report in reports.items() if report.get("behavior") != "OK"} == {}


def test_the_suite_notices_what_is_wrong(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """An echo that swallows messages, whole ones and fragmented ones."""
    monkeypatch.setattr(EchoConnection, "deliver", lambda self, kind, payloads, now: None)
    reports = run(drive("--only", "1.1.2,5.3", "--abreast", "2"))
    assert [report["behavior"] for report in reports.values()] == ["FAILED", "FAILED"]
