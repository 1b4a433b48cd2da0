"""Joining many nodes at once: what `gnt-node add` would have written is written, and then their daemons are started.

One node has to have joined for real. It is the model: every file that a join leaves on a node, and that is none of the
node's own, is copied from it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.foundation import Foundation, Tell
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.ganeti import joined
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.joined import Joining
from pytest_ganeti_vcluster.ganeti.starting import Starter

_STATE = "var/lib/ganeti"
_CONFIG = f"{_STATE}/config.data"
_NODE_LIST = f"{_STATE}/ssconf_node_list"
_CERTIFICATE = f"{_STATE}/client.pem"
_PUBLIC_KEYS = f"{_STATE}/ganeti_pub_keys"
_AUTHORIZED_KEYS = "root/.ssh/authorized_keys"
_SSH_KEY = "root/.ssh/id_rsa"
_HOSTS = "etc/hosts"

#: Below a node's root: what is the model's own, and what belongs to its processes, its master candidacy or its join.
_OWN = re.compile(
    r"var/lib/ganeti/(client\.pem|config\.data|queue/(job-.*|lock)|queue/archive/.*)"
    r"|etc/ssh/.*\.backup-.*"
    r"|root/\.ssh/(id_rsa|id_rsa\.pub|authorized_keys)"
    r"|var/log/ganeti/.*\.log"
    r"|var/run/ganeti/([^/]+\.pid|socket/.+|livelocks/.+)"
    r"|var/run/vcluster-.*"
    r"|tmp/.*"
    r"|.*\.lock"
)

#: Modes of what Ganeti writes (lib/tools/ensure_dirs.py, lib/ssconf.py).
_MODES = {
    _CERTIFICATE: 0o440,
    _CONFIG: 0o640,
    _PUBLIC_KEYS: 0o600,
    _AUTHORIZED_KEYS: 0o600,
    _SSH_KEY: 0o600,
    f"{_SSH_KEY}.pub": 0o600,
    _HOSTS: 0o644,
}
_SSCONF_MODE = 0o444

#: What the master's daemons are when the configuration is changed under them, in the order in which they end.
_HOLDERS = ("ganeti-luxid", "ganeti-wconfd")

_PAUSE = 0.02


@attrs.frozen(kw_only=True)
class BulkJoin:
    """Joins nodes to a cluster of which `master` is the master and `model` another node."""

    base: Foundation
    tell: Tell
    master: BootNode
    model: BootNode

    def run(self, nodes: Sequence[BootNode]) -> None:
        """Join nodes, start their daemons, and return when all answer. Raises `BootFailed`, `OSError`."""
        base = self.base
        master = self.master.site.root
        with base.timeline.stage("keys of nodes"):
            self.tell(f"making the keys of {len(nodes)} nodes")
            joining = self._identities(nodes)
        with base.timeline.stage("configuration"):
            self.tell("writing the configuration")
            self._wait_distributed()
            for program in _HOLDERS:
                self.master.shell.run("daemon-util", "stop", program)
            before = json.loads((master / _CONFIG).read_text(encoding="utf-8"))
            config = joined.with_nodes(before, joining, time.time())
        with base.timeline.stage("files of nodes"):
            self.tell(f"writing the files of {len(nodes)} nodes")
            self._write(nodes, joining, config)
        with base.timeline.stage(f"daemons of {len(nodes)} nodes"):
            self.tell(f"starting the daemons of {len(nodes)} nodes")
            starter = Starter(farm=base.farm, optional=base.spec.daemons, deadline=base.deadline)
            starter.start_missing([self.master, self.model, *nodes], self.master)

    def _identities(self, nodes: Sequence[BootNode]) -> list[Joining]:
        cluster_certificate = (self.master.site.root / _STATE / "server.pem").read_bytes()
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            identities = threads.map(
                lambda node: joined.make_identity(node.site.name, cluster_certificate), nodes
            )
        return [
            Joining(
                identity=identity,
                ip=node.site.ip,
                secondary_ip=node.site.secondary_ip,
                group=node.group,
                candidate=node.master_candidate,
            )
            for node, identity in zip(nodes, identities)
        ]

    def _wait_distributed(self) -> None:
        """Return when wconfd has given the model what it has, which it does in the background."""
        told = _CONFIG if self.model.master_candidate else _NODE_LIST
        config, copy = (node.site.root / told for node in (self.master, self.model))
        while config.read_bytes() != copy.read_bytes():
            if time.monotonic() > self.base.deadline:
                raise BootFailed(
                    f"wconfd does not distribute the configuration: {copy} is not as {config}",
                    cure="look at the logs of wconfd and of the node",
                )
            time.sleep(_PAUSE)

    def _write(
        self, nodes: Sequence[BootNode], joining: Sequence[Joining], config: dict[str, object]
    ) -> None:
        master = self.master.site.root
        known = [self.master, self.model]
        with_config = frozenset(joined.candidates(config))
        text = json.dumps(config)
        promoted = [one.identity.ssh_public for one in joining if one.identity.name in with_config]
        told = joined.told_to_nodes(config, self.base.site.ssh_port)
        same = {
            _HOSTS: joined.hosts(_read(master / _HOSTS), joining),
            _PUBLIC_KEYS: joined.public_keys(_read(master / _PUBLIC_KEYS), joining),
        }
        keys_of_known = _read(master / _AUTHORIZED_KEYS).splitlines(keepends=True)
        for node, one in zip(nodes, joining):
            root, identity = node.site.root, one.identity
            _take_after(self.model.site.root, root)
            _put(root, _CERTIFICATE, identity.certificate)
            _put(root, _SSH_KEY, identity.ssh_key)
            _put(root, f"{_SSH_KEY}.pub", identity.ssh_public.encode("ascii"))
            _add_keys(node, [identity.ssh_public, *keys_of_known, *promoted])
        for node in known:
            _add_keys(node, promoted)
        for node in (*known, *nodes):
            root = node.site.root
            for shared, content in same.items():
                _put(root, shared, content.encode())
            for name, content in told.items():
                _put(root, f"{_STATE}/{name}", content.encode(), _SSCONF_MODE)
            if node.site.name in with_config:
                _put(root, _CONFIG, text.encode())


def _add_keys(node: BootNode, keys: Sequence[str]) -> None:
    """Let the owners of keys log in to a node."""
    before = _read(node.site.root / _AUTHORIZED_KEYS)
    _put(node.site.root, _AUTHORIZED_KEYS, joined.authorized_keys(before, keys).encode())


def _take_after(model: Path, root: Path) -> None:
    """Give a node that has not joined the files that one has that has, and the modes of those that both have."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(model / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if _OWN.fullmatch(path):
                continue
            target = root / path
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                target.mkdir(exist_ok=True)
                waiting.append(path)
            elif not os.path.lexists(target):
                shutil.copy2(entry.path, target, follow_symlinks=False)
            if not stat.S_ISLNK(mode):
                target.chmod(stat.S_IMODE(mode))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _put(root: Path, path: str, data: bytes, mode: int | None = None) -> None:
    """Write a file whole or not at all, also where one is that may not be written to."""
    target = root / path
    new = target.with_name(f"{target.name}.new")
    new.write_bytes(data)
    new.chmod(_MODES[path] if mode is None else mode)
    new.replace(target)
