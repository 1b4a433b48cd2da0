"""What may be submitted as a job, put into the form that `ganeti-luxid` takes.

Of the parameters common to all opcodes (`CommonOpParams` in src/Ganeti/OpCodes.hs: dry_run, debug_level,
priority, depends, comment, reason) only `reason` has neither a default nor may it be missing. What an opcode
itself requires (`instance_name`, `disks`, `nics` and `mode` of OP_INSTANCE_CREATE, `duration` of
OP_TEST_DELAY, ...) is the user's to say: a default would be a guess. All else is filled in by Ganeti.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ganeti_vcluster.errors import SpecError

#: One entry of Ganeti's reason trail: who asked, why, when in nanoseconds since the epoch.
Reason = tuple[str, str, int]

#: Names us as Ganeti's own tools name themselves (`gnt:client:gnt-instance`).
REASON_SOURCE = "gnt:client:pytest-ganeti-vcluster"

_EXAMPLE = '{"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": "instance1.vc"}'


def reason_trail(text: str = "") -> list[Reason]:
    """Give the beginning of a reason trail (doc/design-reason-trail.rst); Ganeti adds to it."""
    return [(REASON_SOURCE, text, time.time_ns())]


def job_opcodes(ops: Any) -> list[dict[str, Any]]:
    """Give the opcodes of one job, ready for LUXI: `ops` is an opcode or a sequence of them.

    An opcode is a mapping with `OP_ID`, or an object of Ganeti's own opcode classes. Raises `SpecError`.
    """
    many = [ops] if isinstance(ops, Mapping) or _is_opcode_object(ops) else ops
    if not isinstance(many, Sequence) or isinstance(many, (str, bytes)):
        message = f"A job is an opcode or a list of opcodes, not {_shown(ops)}"
        raise SpecError(message, cure=f"give a dict such as {_EXAMPLE}")
    if not many:
        # Ganeti takes an empty job, calls it a success and does nothing: nobody asks for that on purpose.
        raise SpecError("A job needs at least one opcode, an empty list was given")
    return [opcode(op) for op in many]


def opcode(op: Any) -> dict[str, Any]:
    """Give one opcode as a dict of plain values, with the reason trail that Ganeti requires."""
    state = _plain(op)
    if not isinstance(state, dict):
        raise SpecError(f"An opcode is a dict or an opcode object of Ganeti, not {_shown(op)}", cure=_cure())
    if "OP_ID" not in state:
        keys = ", ".join(map(repr, state)) or "nothing"
        raise SpecError(f"An opcode without 'OP_ID': it has {keys}", cure=_cure())
    op_id = state["OP_ID"]
    if not isinstance(op_id, str) or not op_id.startswith("OP_"):
        raise SpecError(f"'OP_ID' is {op_id!r}, and Ganeti's opcodes begin with 'OP_'", cure=_cure())
    state.setdefault("reason", reason_trail())
    return state


def _cure() -> str:
    return f"write it as {_EXAMPLE}; Ganeti's manual of the job queue and lib/opcodes.py list the opcodes"


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {reprlib.repr(value)}"


def _is_opcode_object(value: Any) -> bool:
    # Every object has __getstate__ from Python 3.11 on; OP_ID is what lib/opcodes_base.py gives its classes.
    return hasattr(type(value), "OP_ID") and hasattr(value, "__getstate__")


def _plain(value: Any) -> Any:
    """Give `value` as JSON can carry it: opcode objects as dicts, Ganeti's `Private` values laid open."""
    if _is_opcode_object(value):
        # Ganeti's OpCode.__getstate__ adds OP_ID to its parameters; unset ones are left to Ganeti's defaults.
        state = value.__getstate__()
        return {"OP_ID": type(value).OP_ID, **_plain(state)} if isinstance(state, Mapping) else state
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if type(value).__name__ == "Private" and hasattr(type(value), "Get"):
        return _plain(value.Get())  # lib/serializer.py: parameters that are not to be logged
    return value
