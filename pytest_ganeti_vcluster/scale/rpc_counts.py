"""How many RPCs Ganeti's node daemons have served, as their own logs tell.

noded logs every request that it has answered, at level info, before it sends the answer (lib/http/server.py,
HttpServerRequestExecutor): whoever asked, luxid, wconfd or a job, and whatever became of it. Requests that did not
reach it, or to which it was not let answer, are not counted.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: "2026-01-01 12:00:00,000: ganeti-noded pid=1 INFO 127.0.0.1:46880 POST /version HTTP/1.1 200"
_REQUEST = re.compile(rb" INFO \S+:\d+ [A-Z]+ /(\w*)\S* HTTP/\S+ \d+$", re.MULTILINE)


@attrs.define
class RpcCounts:
    """Reads the logs of the nodes' daemons, from where it has come each time."""

    _places: dict[Path, int]

    @classmethod
    def begin(cls, cluster: VirtualCluster) -> RpcCounts:
        """Count from now on."""
        logs = [node.daemon("noded").log_path for node in cluster.nodes]
        return cls({log: _size(log) for log in logs})

    def take(self) -> Counter[str]:
        """Return how many requests of each name were served since this was asked last."""
        found: Counter[str] = Counter()
        for log, place in self._places.items():
            size = _size(log)
            if size > place:
                new = _lines(log, place)
                self._places[log] = place + len(new)
                found.update(name.decode("ascii") for name in _REQUEST.findall(new))
        return found


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def _lines(log: Path, place: int) -> bytes:
    """Read whole lines from a place in a log on."""
    with log.open("rb") as stream:
        stream.seek(place)
        new = stream.read()
    return new[: new.rfind(b"\n") + 1]
