"""Ganeti's logs, read as events.

Python programs write "2026-01-01 12:00:00,123: ganeti-noded pid=1 INFO text" (lib/utils/log.py, _GetLogFormatter),
Haskell ones "2026-01-01 12:00:00,123456789000 UTC: ganeti-luxid pid=1/ThreadId 3 NOTICE text" (src/Ganeti/Logging.hs,
logFormatter). Lines without such a head belong to the one before, as those of a traceback do.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator
from functools import lru_cache

from pytest_ganeti_vcluster.story.event import Event

_HEAD = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<part>\d+)(?: (?P<zone>[A-Z]\w*|[+-]\d+))?: "
    r"(?P<program>.+?) pid=(?P<pid>\d+)(?:/(?:ThreadId \d+|\S+))? (?:\w+:\d+ )?"
    r"(?P<level>DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT|EMERGENCY) (?P<text>.*)"
)
_LEVELS = {"DEBUG": "debug", "INFO": "info", "NOTICE": "info", "WARNING": "warning"}

# "127.0.0.1:46880 POST /version HTTP/1.1 200" (lib/http/server.py, HttpServerRequestExecutor).
_REQUEST = re.compile(r"\S+:\d+ (?P<method>[A-Z]+) (?P<path>/\S*) HTTP/\S+ (?P<status>\d+)$")
_SERVER_ERROR = 500
_REFUSED = 400

_STARTED = re.compile(r"ganeti-\w+ daemon startup")
_ENDED = re.compile(r"ganeti-\w+ daemon shutdown|Received signal \d+ asking for shutdown")

#: Lines of a text without heads, such as what an OS script writes, of which there is one event.
_HEADLESS = 200


def read_log(text: str, *, node: str, name: str, cluster: str, changed: float) -> Iterator[Event]:
    """Give the events of a log, or of a part of one. `name` is that of its file.

    Of a log without times there is one event, when it was `changed` last.
    """
    head: re.Match[str] | None = None
    more: list[str] = []
    before: list[str] = []
    for line in text.splitlines():
        found = _HEAD.fullmatch(line)
        if found is None:
            (before if head is None else more).append(line)
            continue
        if head is not None:
            yield _event(head, more, node, cluster)
        head, more = found, []
    if head is not None:
        yield _event(head, more, node, cluster)
    elif before:
        yield Event(
            time=changed,
            kind="log",
            text=f"{name}: {len(before)} lines, the last: {before[-1]}",
            node=node,
            cluster=cluster,
            source=name.rpartition("/")[2],
            detail="\n".join(before[-_HEADLESS:]),
        )


def _event(head: re.Match[str], more: list[str], node: str, cluster: str) -> Event:
    kind, level, text = "log", _LEVELS.get(head["level"], "error"), head["text"]
    request = _REQUEST.fullmatch(text)
    source = head["program"]
    source = source[len("ganeti-") :] if source.startswith("ganeti-") else source.replace("job-", "job ")
    if request is not None:
        kind, status = "rpc", int(request["status"])
        if status >= _REFUSED:
            level = "error" if status >= _SERVER_ERROR else "warning"
        text = f"{request['path'].lstrip('/')} → {status}"
        if source != "noded":
            text = f"{request['method']} /{text}"
    elif _STARTED.fullmatch(text) or _ENDED.fullmatch(text):
        kind, text = "daemon", f"{text} (pid {head['pid']})"
    return Event(
        time=_seconds(head["moment"], head["zone"]) + float(f"0.{head['part']}"),
        kind=kind,
        text=text,
        node=node,
        cluster=cluster,
        source=source,
        level=level,
        detail="\n".join(more),
    )


@lru_cache(maxsize=4096)
def _seconds(moment: str, zone: str | None) -> float:
    """Read a time of day: what is not told to be UTC is local time, as that of this process."""
    parsed = time.strptime(moment, "%Y-%m-%d %H:%M:%S")
    return float(calendar.timegm(parsed)) if zone == "UTC" else time.mktime(parsed)
