"""A program that tries to build a cluster where the outer test has put it, and tells as JSON what came of it.

Its argument is a JSON object: `root`, `subnet`; `port` (somebody listens there on all addresses meanwhile);
`fill_at` and `leave` (at that stage of the boot somebody fills the disk but for so many bytes).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.bootstrap import Timeline
from pytest_ganeti_vcluster.settings import Settings


def fill(root: Path, leave: int) -> None:
    room = os.statvfs(root)
    data = bytes(64 * 1024)
    with (root / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        left = room.f_bavail * room.f_frsize - leave
        while left > 0:
            left -= file.write(data[:left])


def fill_at(stage: str, root: Path, leave: int) -> None:
    original = Timeline.stage

    def reached(self: Timeline, name: str) -> contextlib.AbstractContextManager[None]:
        if name == stage:
            fill(root, leave)
        return original(self, name)

    Timeline.stage = reached  # type: ignore[method-assign,assignment]


def is_leased(block: IPv4Network) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind((str(block[0]), CLAIM_PORT))
        except OSError:
            return True
    return False


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    root, block = Path(given["root"]), IPv4Network(given["subnet"])
    settings = attrs.evolve(Settings.read(), root=root, subnet=block, timeout=60.0)
    answer: dict[str, Any] = {"error": None}
    with contextlib.ExitStack() as stack:
        if "port" in given:
            stack.enter_context(socket.create_server(("0.0.0.0", given["port"])))  # noqa: S104 - that is the point
        if "fill_at" in given:
            fill_at(given["fill_at"], root, given["leave"])
        began = time.monotonic()
        try:
            build_cluster(ClusterSpec(nodes=1), settings).close()
        except VClusterError as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        answer["seconds"] = time.monotonic() - began
    names = {entry.name for entry in root.iterdir()} if root.is_dir() else set()
    answer["left"] = sorted(names - {"filler"}) + ["the lease"] * is_leased(block)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
