"""The ground that the suite is given: nodes that nobody has initialised, names, and ssh between them."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.making.building import make_access
from pytest_ganeti_vcluster.cluster.making.foundation import Foundation, laid
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Timeline
from pytest_ganeti_vcluster.settings import Settings
from qa.configuration import QA_OS, RENAME_TARGET, TESTS_OFF, QaNode, suite_configuration
from qa.suite import Suite, lay_out

#: What a machine with Xen has: `gnt-os modify` is called with parameters of Xen, and Ganeti looks whether the files are
#: there that others of them name. Nothing of them is run or read.
_XEN_FILES = (
    "boot/vmlinuz-3-xenU",
    "usr/lib/xen/boot/hvmloader",
    "usr/lib/xen/bin/qemu-dm",
    "etc/ganeti/vnc-cluster-password",
)

_INSIDE = Path(__file__).parent / "inside"


@attrs.frozen
class Ground:
    """A foundation with nodes on it, and no cluster."""

    base: Foundation
    nodes: list[BootNode]

    @property
    def master(self) -> BootNode:
        """The node that the suite makes the master."""
        return self.nodes[0]

    def order(
        self, suite: Suite, events: Path, *, only: tuple[str, ...], seconds: float, yaml: Path
    ) -> list[str]:
        """Write down what the driver is to do, and return the command that does it, on the master."""
        base, master = self.base, self.master
        folder = base.root / "qa"
        folder.mkdir()
        configuration = suite_configuration(
            [QaNode(name=node.site.name, secondary=node.site.secondary_ip) for node in self.nodes],
            storage=str(master.site.root / "srv/ganeti/file-storage"),
            ssh_port=base.site.ssh_port,
            only=only,
        )
        (folder / "qa.json").write_text(json.dumps(configuration, indent=1), encoding="utf-8")
        order = {
            "suite": str(lay_out(suite, folder / "suite", base.farm.lib / "tools")),
            "config": str(folder / "qa.json"),
            "site": str(base.farm.folder / "site"),
            "modules": str(base.installation.share),
            "yaml": str(yaml),
            "nodes": {node.site.name: str(node.site.root) for node in self.nodes},
            "master": master.site.name,
            "ssh_port": base.site.ssh_port,
            "authority": str(base.ca_file),
            "events": str(events),
            "seconds": seconds,
            "off": list(TESTS_OFF),
        }
        (folder / "order.json").write_text(json.dumps(order, indent=1), encoding="utf-8")
        return [str(base.installation.python), "-u", str(_INSIDE / "driver.py"), str(folder / "order.json")]


@contextlib.contextmanager
def ground(settings: Settings, nodes: int) -> Iterator[Ground]:
    """Lay the ground, and take it away again."""
    spec = ClusterSpec(nodes=nodes, disk_templates=("diskless", "file", "sharedfile"), secondary_ips=True)
    with laid(spec, settings, Timeline()) as base:
        made = [base.nodes.make(node, index) for index, node in enumerate(spec.nodes, 1)]
        make_access(base, made)
        base.site.hosts.set(base.lease.spare_ips[0], RENAME_TARGET, RENAME_TARGET.partition(".")[0])
        _know_host_keys(base, made)
        for node in made:
            _furnish(node.site.root)
        base.site.wait_ready()
        try:
            yield Ground(base, made)
        finally:
            base.keeper.stop()


def _furnish(root: Path) -> None:
    """Give a node an OS definition that takes the parameter that the suite sets, and files of Xen."""
    systems = root / "srv/ganeti/os"
    shutil.copytree(systems / "dd", systems / QA_OS.partition("+")[0])
    with (systems / "qa/parameters.list").open("a", encoding="utf-8") as parameters:
        parameters.write("os-image unused\n")
    for name in _XEN_FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _know_host_keys(base: Foundation, nodes: list[BootNode]) -> None:
    """Have the nodes' root users know all nodes, as an administrator who runs the suite has to."""
    words = base.site.host_key.with_suffix(".pub").read_text(encoding="ascii").split()[:2]
    lines = [f"[{node.site.name}]:{base.site.ssh_port} {' '.join(words)}\n" for node in nodes]
    for node in nodes:
        (node.site.root / "root/.ssh/known_hosts").write_text("".join(lines), encoding="ascii")
