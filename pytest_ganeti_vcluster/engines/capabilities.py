"""What tests may need of an engine, by name."""

from __future__ import annotations

#: Faults in the network between nodes.
NETWORK = frozenset({"partition", "isolate", "one-way", "impair", "split-brain"})

#: Disks of nodes that are file systems of their own.
DISKS = frozenset({"disk-full", "read-only"})

#: What every engine has.
_COMMON = frozenset({"clock", "freeze", "rpc-faults"})

#: What each engine has.
CAPABILITIES: dict[str, frozenset[str]] = {"loopback": _COMMON, "namespaces": _COMMON | DISKS | NETWORK}
