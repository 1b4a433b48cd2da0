"""One thing that happened: a line of a log, a job, an RPC, a command, a fault, a daemon's start or end."""

from __future__ import annotations

import time
from typing import Any

import attrs

#: Kinds, in the order in which they are shown.
KINDS = ("test", "command", "job", "fault", "daemon", "rpc", "log")
#: Levels, from the least to the most serious.
LEVELS = ("debug", "info", "warning", "error")

#: Longest text, and longest detail such as a traceback, in characters.
_TEXT, _DETAIL = 1000, 6000


def _short_text(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]} …"


def _short_detail(text: str) -> str:
    return text if len(text) <= _DETAIL else f"{text[:_DETAIL]} …"


@attrs.frozen(kw_only=True)
class Event:
    """Times are seconds since the epoch; `end` is None for what takes no time. `still`: it had not ended by then.

    `node` is empty for what is of the whole cluster; `source` is who tells it, such as "luxid" or "job 3".
    """

    time: float
    kind: str
    text: str = attrs.field(converter=_short_text)
    node: str = ""
    cluster: str = ""
    source: str = ""
    level: str = "info"
    end: float | None = None
    still: bool = False
    detail: str = attrs.field(default="", converter=_short_detail)

    def to_json(self) -> dict[str, Any]:
        """Return it as a line of the timeline has it: what is empty is left out."""
        return {name: value for name, value in attrs.asdict(self).items() if value not in ("", None, False)}

    def __str__(self) -> str:
        took = "" if self.end is None else f" ({self.end - self.time:.2f} s{', not ended' * self.still})"
        who = " ".join(part for part in (self.node, self.source) if part)
        lines = [f"{clock(self.time)} {self.level.upper():7} {self.kind:7} {who}: {self.text}{took}"]
        return "\n".join([*lines, *(f"    {line}" for line in self.detail.splitlines())])


def clock(moment: float) -> str:
    """Return a time of day as Ganeti's logs have it."""
    seconds, part = divmod(round(moment * 1000), 1000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))},{part:03d}"
