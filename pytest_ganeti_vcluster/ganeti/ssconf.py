"""What every node is told of its cluster: the simple store of values in files (lib/ssconf.py)."""

from __future__ import annotations

from pathlib import Path


def read_ssconf(node_root: Path, key: str) -> str | None:
    """Return a value such as "master_node" as a node has it; None where it has none, as one that has left."""
    path = node_root / "var/lib/ganeti" / f"ssconf_{key}"
    try:
        return path.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def master_address(node_root: Path) -> str:
    """Return the master IP with its prefix length, as a node has them; empty where it has none."""
    address, length = (read_ssconf(node_root, key) for key in ("master_ip", "master_netmask"))
    return f"{address}/{length}" if address and length else ""
