"""Joining many nodes at once: what `gnt-node add` would have written is written, and then their daemons are started.

One node has to have joined for real. It is the model: every file that a join leaves on a node, and that is none of the
node's own, is copied from it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.making.config_at_rest import STATE, ConfigAtRest, put, write_config
from pytest_ganeti_vcluster.cluster.making.foundation import Foundation, Tell
from pytest_ganeti_vcluster.cluster.making.keys_ahead import KeysAhead
from pytest_ganeti_vcluster.ganeti import joined
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.joined import Joining
from pytest_ganeti_vcluster.ganeti.starting import Starter

_CERTIFICATE = f"{STATE}/client.pem"
_PUBLIC_KEYS = f"{STATE}/ganeti_pub_keys"
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
    r"|(var/run|etc)/vcluster-.*"
    r"|tmp/.*"
    r"|.*\.lock"
)


@attrs.frozen(kw_only=True)
class BulkJoin:
    """Joins nodes to a cluster of which `master` is the master and `model` another node; `keys` are for them all."""

    base: Foundation
    tell: Tell
    master: BootNode
    model: BootNode
    keys: KeysAhead

    def run(self, nodes: Sequence[BootNode]) -> None:
        """Join nodes, start their daemons, and return when all answer. Raises `BootFailed`, `OSError`."""
        base = self.base
        known = [self.master, self.model]
        with base.timeline.stage("keys of nodes"):
            self.tell(f"making the keys of {len(nodes)} nodes")
            joining = self._identities(nodes)
        self.tell(f"writing the files of {len(nodes)} nodes")
        with base.timeline.stage("files of nodes"):
            before = ConfigAtRest(self.master, known, base.deadline).take()
            config = joined.with_nodes(before, joining, time.time())
            self._write_keys(nodes, joining, frozenset(joined.candidates(config)))
            write_config([*known, *nodes], config, joined.told_to_nodes(config, base.site.ssh_port))
        with base.timeline.stage(f"daemons of {len(nodes)} nodes"):
            self.tell(f"starting the daemons of {len(nodes)} nodes")
            optional = base.farm.optional_daemons(base.spec.daemons)
            starter = Starter(farm=base.farm, optional=optional, deadline=base.deadline, tell=self.tell)
            starter.start_missing([*known, *nodes], self.master)

    def _identities(self, nodes: Sequence[BootNode]) -> list[Joining]:
        authority = joined.load_authority((self.master.site.root / STATE / "server.pem").read_bytes())
        return [
            Joining(
                identity=joined.make_identity(node.site.name, authority, keys),
                ip=node.site.ip,
                secondary_ip=node.site.secondary_ip,
                group=node.group,
                candidate=node.master_candidate,
            )
            for node, keys in zip(nodes, self.keys.take())
        ]

    def _write_keys(
        self, nodes: Sequence[BootNode], joining: Sequence[Joining], with_config: frozenset[str]
    ) -> None:
        """Write who the nodes are, and make all of them known to all."""
        master = self.master.site.root
        known = [self.master, self.model]
        promoted = [one.identity.ssh_public for one in joining if one.identity.name in with_config]
        hosts = joined.hosts(_read(master / _HOSTS), joining).encode()
        public_keys = joined.public_keys(_read(master / _PUBLIC_KEYS), joining).encode()
        keys_of_known = _read(master / _AUTHORIZED_KEYS).splitlines(keepends=True)
        for node, one in zip(nodes, joining):
            root, identity = node.site.root, one.identity
            _take_after(self.model.site.root, root)
            put(root, _CERTIFICATE, identity.certificate, 0o440)
            put(root, _SSH_KEY, identity.ssh_key, 0o600)
            # ssh-keygen leaves it to the umask of the node who may read it.
            mode = stat.S_IMODE((self.model.site.root / f"{_SSH_KEY}.pub").stat().st_mode)
            put(root, f"{_SSH_KEY}.pub", identity.ssh_public.encode("ascii"), mode)
            _add_keys(node, [identity.ssh_public, *keys_of_known, *promoted])
        for node in known:
            _add_keys(node, promoted)
        for node in (*known, *nodes):
            put(node.site.root, _HOSTS, hosts, 0o644)
            put(node.site.root, _PUBLIC_KEYS, public_keys, 0o600)


def _add_keys(node: BootNode, keys: Sequence[str]) -> None:
    """Let the owners of keys log in to a node."""
    before = _read(node.site.root / _AUTHORIZED_KEYS)
    put(node.site.root, _AUTHORIZED_KEYS, joined.authorized_keys(before, keys).encode(), 0o600)


def _take_after(model: Path, root: Path) -> None:
    """Give a node that has not joined the files that one has that has, and the modes of those that both have."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(model / folder) as found:
            entries = list(found)
        for entry in entries:
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
