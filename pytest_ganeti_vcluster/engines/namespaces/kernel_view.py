"""What the kernel holds for a node that is a machine, beside files and processes; seen from outside, in /proc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def look(pid: int) -> frozenset[str]:
    """Return devices, addresses, routes and mounts as process `pid`, outside, has them; equal texts, equal state.

    What is not there to be seen: host name, firewall rules and queueing of packets. Raises `OSError` for a process
    that has ended.
    """
    proc = Path("/proc", str(pid))
    return frozenset(
        [
            *_devices((proc / "net/dev").read_text(encoding="ascii", errors="replace")),
            *_addresses((proc / "net/fib_trie").read_text(encoding="ascii", errors="replace")),
            *(f"mount {line}" for line in (proc / "mountinfo").read_text(errors="replace").splitlines()),
        ]
    )


def _devices(text: str) -> Iterator[str]:
    # What follows the name counts packets.
    for line in text.splitlines():
        name, colon, _counts = line.partition(":")
        if colon:
            yield f"device {name.strip()}"


def _addresses(text: str) -> Iterator[str]:
    """Give the entries of the routing tables, of which one is of own addresses; how the kernel sorts them may vary."""
    table = prefix = ""
    for line in text.splitlines():
        words = line.split()
        if line.endswith(":"):
            table = line
        elif words[:1] in (["|--"], ["+--"]):
            prefix = words[1]
        elif words:
            yield f"route {table}{prefix} {' '.join(words)}"
