"""Changing the configuration where it lies, while the daemons that hold it are down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.joined import candidates

STATE = "var/lib/ganeti"
CONFIG = f"{STATE}/config.data"
_NODE_LIST = f"{STATE}/ssconf_node_list"

#: Modes of what Ganeti writes (lib/tools/ensure_dirs.py, lib/ssconf.py).
_CONFIG_MODE = 0o640
_SSCONF_MODE = 0o444

#: The master's daemons that hold the configuration, in the order in which they end.
_HOLDERS = ("ganeti-luxid", "ganeti-wconfd")

_PAUSE = 0.02


@attrs.frozen
class ConfigAtRest:
    """The configuration of the cluster that `master` is the master of; `nodes` are those that Ganeti knows.

    What goes wrong by `deadline` (`time.monotonic`) raises `BootFailed`.
    """

    master: BootNode
    nodes: Sequence[BootNode]
    deadline: float

    def take(self) -> dict[str, Any]:
        """Return it, once everybody has the same, with luxid and wconfd down; to start them again is the caller's."""
        self._wait_distributed()
        for program in _HOLDERS:
            self.master.shell.run("daemon-util", "stop", program)
        config: dict[str, Any] = json.loads((self.master.site.root / CONFIG).read_text(encoding="utf-8"))
        return config

    def _wait_distributed(self) -> None:
        """Return when wconfd has written what it has to all nodes' disks, which it does in the background."""
        copies = _Copies(self.master, self.nodes)
        while stale := copies.first_stale():
            if time.monotonic() > self.deadline:
                raise BootFailed(
                    f"wconfd has not distributed the configuration: {stale} is not as the master's",
                    cure="look at the logs of wconfd and of the node",
                )
            time.sleep(_PAUSE)


@attrs.define
class _Copies:
    """The nodes' copies of the master's files. One that is as the master's is not looked at again until that changes.

    A configuration of thousands of instances has megabytes: it is read as seldom as can be.
    """

    _master: BootNode
    _nodes: Sequence[BootNode]
    _wanted: Mapping[str, bytes] = attrs.field(factory=dict, init=False, repr=False)
    _left: list[tuple[str, Path]] = attrs.field(factory=list, init=False)

    def first_stale(self) -> Path | None:
        """Name a copy that is not as the master's, None without; nodes that are offline are given none."""
        root = self._master.site.root
        now = {path: (root / path).read_bytes() for path in (CONFIG, _NODE_LIST)}
        if now != self._wanted:
            known = json.loads(now[CONFIG])["nodes"].values()
            offline = {node["name"] for node in known if node["offline"]}
            online = [node for node in self._nodes if node.site.name not in offline]
            self._wanted = now
            self._left = [(path, node.site.root / path) for path in now for node in online]
        while self._left:
            path, copy = self._left[-1]
            # Nodes that are no candidates have no configuration.
            if copy.exists() and (copy.stat().st_size != len(now[path]) or copy.read_bytes() != now[path]):
                return copy
            self._left.pop()
        return None


def write_config(nodes: Sequence[BootNode], config: Mapping[str, Any], told: Mapping[str, str]) -> None:
    """Give nodes a configuration, those that are to have it, and all of them what they are `told` (ssconf files)."""
    having = frozenset(candidates(config))
    text = json.dumps(config).encode()
    for node in nodes:
        for name, content in told.items():
            put(node.site.root, f"{STATE}/{name}", content.encode(), _SSCONF_MODE)
        if node.site.name in having:
            put(node.site.root, CONFIG, text, _CONFIG_MODE)


def put(root: Path, path: str, data: bytes, mode: int) -> None:
    """Write a file whole or not at all, also where one is that may not be written to."""
    target = root / path
    new = target.with_name(f"{target.name}.new")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(target)
