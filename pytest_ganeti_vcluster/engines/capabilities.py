"""What tests may need of an engine, by name."""

from __future__ import annotations

#: Faults in the network between nodes.
NETWORK = frozenset({"partition", "isolate", "one-way", "impair", "split-brain"})

#: What every engine has.
_COMMON = frozenset({"freeze"})

#: What each engine has.
CAPABILITIES: dict[str, frozenset[str]] = {"loopback": _COMMON, "namespaces": _COMMON | NETWORK}
