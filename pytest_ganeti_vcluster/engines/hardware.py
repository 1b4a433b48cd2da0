"""What a node's hardware is said to be: two files in its root, which resets and images carry, whatever the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

#: How large a node says that it is, below its root.
CAPACITY = "etc/vcluster-node.json"

#: The bridges that it has, below its root.
BRIDGES = "etc/vcluster-bridges"


def read_capacity(root: Path) -> dict[str, int]:
    """Return what `write_capacity` has written last."""
    try:
        found: dict[str, int] = json.loads((root / CAPACITY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def write_capacity(root: Path, capacity: Mapping[str, int]) -> tuple[str, ...]:
    """Have a node report this of itself: `memory` and `disk` in MiB, `cpus`; return the paths in its root.

    What is not given is as the machine's. On engine `loopback` its daemons read it each time that they are asked
    (inside/adaptations/node_report.py), elsewhere the site is to be told (`Site.fit_hardware`).
    """
    path = root / CAPACITY
    if not capacity:
        path.unlink(missing_ok=True)
        return ()
    new = path.with_suffix(".new")
    new.write_text(json.dumps(dict(capacity)), encoding="utf-8")
    new.replace(path)
    return (CAPACITY,)


def read_bridges(root: Path) -> list[str]:
    """Name the bridges of a node; none where nobody has said."""
    try:
        return (root / BRIDGES).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []


def write_bridges(root: Path, names: Sequence[str]) -> None:
    """Have a node have these bridges and no others; as `write_capacity` (inside/adaptations/bridges.py)."""
    (root / BRIDGES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
