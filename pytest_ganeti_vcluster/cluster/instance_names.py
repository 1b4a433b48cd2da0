"""The names that opcodes give to instances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
