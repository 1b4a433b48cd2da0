"""RPCs that fail, hang or are answered late, because files in the node's root say so.

Each fault is a file NAME.json in one folder (`FOLDER`, below the node's root): `rpc`, `kind` ("fail", "hang" or
"delay"), and as it is meant `text`, `seconds`, `times`, `skip`, `containing` (texts, one of which the RPC's arguments
have to have), `done_first`. Beside it, NAME.taken and
NAME.struck have a line for each RPC that it has taken, and that it has struck. All is read anew at each RPC, so what is
removed is lifted; an RPC that hangs goes on then. Without the folder, an RPC costs a look for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any, Callable

#: Below a node's root.
FOLDER = "/etc/vcluster-faults/rpc"

_PAUSE = 0.01


def answer(folder: str, rpc: str, body: Any, work: Callable[[], Any], failing: Callable[[str], Any]) -> Any:
    """Answer an RPC: `work` does it, `failing` makes the answer of one that failed with a text.

    Of several faults that fit, the oldest strikes that has not struck as often as it may.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return work()
    for name in names:
        path = os.path.join(folder, name)
        fault = _read(path)
        if fault is not None and _fits(fault, rpc, body) and _take(path, fault):
            return _strike(path, fault, work, failing)
    return work()


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        # Lifted since we have seen its name.
        return None
    return found


def _fits(fault: dict[str, Any], rpc: str, body: Any) -> bool:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    wanted = fault.get("containing") or [""]
    return bool(fault["rpc"] == rpc and any(one in text for one in wanted))


def _take(path: str, fault: dict[str, Any]) -> bool:
    """Tell whether it is our turn; RPCs are served by processes of their own, which count together."""
    number = _note(path, "taken") - fault.get("skip", 0)
    times = fault.get("times")
    return number > 0 and (times is None or number <= times)


def _note(path: str, what: str) -> int:
    """Write a line; return how many there are by now."""
    try:
        # Made with the fault, and gone with it.
        descriptor = os.open(path[: -len("json")] + what, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    with os.fdopen(descriptor, "r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        lines = len(stream.read().splitlines())
        stream.write(f"{os.getpid()} {time.time():.3f}\n")
    return lines + 1


def _strike(path: str, fault: dict[str, Any], work: Callable[[], Any], failing: Callable[[str], Any]) -> Any:
    if fault["kind"] == "fail":
        _note(path, "struck")
        return failing(fault["text"])
    done = work() if fault.get("done_first") else None
    _note(path, "struck")
    until = time.monotonic() + fault["seconds"] if fault["kind"] == "delay" else None
    while os.path.exists(path) and (until is None or time.monotonic() < until):
        time.sleep(_PAUSE)
    return done if fault.get("done_first") else work()
