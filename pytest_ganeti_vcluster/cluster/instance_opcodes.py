"""Opcodes that make and name instances."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: The field of each opcode that holds a name not yet in use.
_NEW_NAME = {"OP_INSTANCE_CREATE": "instance_name", "OP_INSTANCE_RENAME": "new_name"}
#: The field of each opcode that holds opcodes.
_NESTED = {"OP_INSTANCE_MULTI_ALLOC": "instances"}
#: What can be a host's name; anything else is for Ganeti to refuse.
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def instance_names(ops: Iterable[Any]) -> list[str]:
    """Return the names for new or renamed instances in opcodes, given as dicts, and in the opcodes inside them."""
    names = []
    for op in ops:
        if not isinstance(op, Mapping):
            continue
        op_id = str(op.get("OP_ID"))
        name = op.get(_NEW_NAME.get(op_id, ""))
        if isinstance(name, str) and _HOST_NAME.fullmatch(name):
            names.append(name.lower())
        nested = op.get(_NESTED.get(op_id, ""))
        if isinstance(nested, (list, tuple)):
            names += instance_names(nested)
    return names


def free_names(prefix: str, taken: Iterable[str]) -> Iterator[str]:
    """Give `prefix` with 1, 2, ... without end, but for those that are `taken`, which may have domains."""
    known = {form for name in taken for form in (name, name.partition(".")[0])}
    return (name for number in itertools.count(1) if (name := f"{prefix}{number}") not in known)


def create_opcode(
    name: str,
    disk_template: str,
    *,
    disks: Sequence[Mapping[str, Any]] | None,
    nics: Sequence[Mapping[str, Any]],
    beparams: Mapping[str, int],
    os: str | None,
    start: bool,
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """Make an OP_INSTANCE_CREATE, without a node; arguments as in `VirtualCluster.add_instance`."""
    if disks is None:
        disks = [] if disk_template == "diskless" else [{"size": 16}]
    op: dict[str, Any] = {
        "OP_ID": "OP_INSTANCE_CREATE",
        "instance_name": name,
        "mode": "create",
        "disk_template": disk_template,
        "disks": [dict(disk) for disk in disks],
        "nics": [dict(nic) for nic in nics],
        "beparams": dict(beparams),
        "hvparams": {},
        "os_type": os,
        "start": start,
        "ip_check": False,
        "name_check": True,
        "hypervisor": "fake",
        **fields,
    }
    if disk_template != "diskless":
        op.setdefault("file_driver", "loop")
    return op
