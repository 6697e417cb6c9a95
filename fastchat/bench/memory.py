"""Memory that connections and threads cost the kernel of this machine."""

from __future__ import annotations

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")

# Lines of /proc/meminfo. Slab: sockets, their inodes and files, epoll entries. The other two are what threads
# cost beside the pages of their stacks that they touched, which are resident memory.
MEMINFO = {"slab": "Slab", "kernel_stacks": "KernelStack", "page_tables": "PageTables"}


def kernel_memory() -> dict[str, int]:
    """Bytes that the kernel uses, by kind, over the whole machine.

    A difference of two readings has both ends of the connections made meanwhile in it, and whatever else
    the machine did.
    """
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    found = {kind: int(lines[name].split()[0]) * 1024 for kind, name in MEMINFO.items()}
    return found | {"tcp_buffers": tcp_pages(Path("/proc/net/sockstat").read_text()) * PAGE}


def tcp_pages(sockstat: str) -> int:
    """Pages in TCP's buffers, out of the text of /proc/net/sockstat; 0 if it does not say."""
    line = next((line for line in sockstat.splitlines() if line.startswith("TCP:")), "")
    words = line.split()
    return int(words[words.index("mem") + 1]) if "mem" in words else 0
