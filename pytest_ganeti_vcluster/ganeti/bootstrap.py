"""From empty node roots to a cluster that answers, by Ganeti's own commands."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.errors import BootFailed, CommandFailed
from pytest_ganeti_vcluster.ganeti.adaptation_check import read_verdict
from pytest_ganeti_vcluster.ganeti.commands import CommandResult, NodeShell
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS, NodeAddress
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.init_options import with_ssh_port
from pytest_ganeti_vcluster.ganeti.node_root import BRIDGES
from pytest_ganeti_vcluster.ganeti.rapi_access import RAPI_CERTIFICATE, READY_CERTIFICATE
from pytest_ganeti_vcluster.ganeti.readiness import DaemonWatch, log_tail, wait_ready

# Bounds wide enough for any instance that a test can think of; upstream's vcluster-setup prints the same.
_IPOLICY = (
    "min:disk-size=0,cpu-count=1,disk-count=0,memory-size=1,nic-count=0,spindle-use=0"
    "/max:disk-size=1048576,cpu-count=64,disk-count=16,memory-size=1048576,nic-count=8,spindle-use=12"
)


@attrs.frozen
class Stage:
    """A stretch of a boot: its name and how long it took, in seconds."""

    name: str
    seconds: float


class Timeline:
    """What a boot spent its time on."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(Stage(name, time.monotonic() - start))


@attrs.frozen(kw_only=True)
class BootNode:
    """A node to boot: its site, its shell, and what it is to be in the cluster."""

    site: NodeSite
    shell: NodeShell
    group: str = "default"
    master_candidate: bool = True
    offline: bool = False

    @property
    def address(self) -> NodeAddress:
        """Where its daemons are."""
        return NodeAddress(self.site.ip, self.site.root, network=self.site.network)


class Bootstrap:
    """Boot one cluster. `deadline` (`time.monotonic`) bounds it all; what goes wrong is a `BootFailed`."""

    def __init__(
        self,
        farm: Farm,
        *,
        ssh_port: int,
        daemons: Sequence[str],
        deadline: float,
        master_netdev: str = "lo",
    ) -> None:
        self._farm = farm
        self._master_netdev = master_netdev
        self._ssh_port = ssh_port
        self._daemons = tuple(daemons)
        self._deadline = deadline

    def until(self, deadline: float) -> Bootstrap:
        """Return the same with another deadline."""
        return Bootstrap(
            self._farm,
            ssh_port=self._ssh_port,
            daemons=self._daemons,
            deadline=deadline,
            master_netdev=self._master_netdev,
        )

    def check_adaptations(self, node: BootNode) -> None:
        """Raise `AdaptationFailed` unless every adaptation fits this Ganeti."""
        if not self._farm.is_adapted:
            return
        result = self._run(node, str(self._farm.check), what="check the adaptations")
        read_verdict(result.stdout, self._farm.installation)

    def init(
        self, master: BootNode, cluster_name: str, disk_templates: Sequence[str], options: Sequence[str]
    ) -> None:
        """Make the cluster of one node (`gnt-cluster init`)."""
        self._run(
            master,
            "gnt-cluster",
            "init",
            f"--master-netdev={self._master_netdev}",
            "--ssh-key-type=rsa",
            "--enabled-hypervisors=fake",
            f"--enabled-disk-templates={','.join(disk_templates)}",
            f"--nic-parameters=mode=bridged,link={BRIDGES[0]}",
            f"--ipolicy-bounds-specs={_IPOLICY}",
            *_secondary_ip(master),
            *with_ssh_port(options, self._ssh_port),
            cluster_name,
            what="init the cluster",
        )

    def put_rapi_certificate(self, master: BootNode) -> None:
        """Have RAPI use the certificate that was made for it; nodes that join get it from the master."""
        shutil.move(str(master.site.root / READY_CERTIFICATE), str(master.site.root / RAPI_CERTIFICATE))
        for action in ("stop", "start"):
            argv = (str(self._farm.daemon_util), action, DAEMONS["rapi"].program)
            master.shell.run(*argv, timeout=max(1.0, self._deadline - time.monotonic()))

    def add(self, master: BootNode, node: BootNode) -> None:
        """Join a node over ssh (`gnt-node add`), start its optional daemons and make it what it is to be."""
        self._run(
            master,
            "gnt-node",
            "add",
            "--no-ssh-key-check",
            f"--node-group={node.group}",
            *_secondary_ip(node),
            # Its noded is started by the join, and answers to the master from then on.
            f"--master-capable={'yes' if node.master_candidate else 'no'}",
            node.site.name,
            what=f"add {node.site.name}",
            also=[node],
        )
        self.start_optional(node)

    def undo_add(self, master: BootNode, node: BootNode) -> None:
        """Make Ganeti forget a node whose join failed somewhere."""
        name, keys = node.site.name, master.site.root / "var/lib/ganeti/ganeti_pub_keys"
        left = max(1.0, self._deadline - time.monotonic())
        known = master.shell.run(
            "gnt-node", "list", "--no-headers", "--output=uuid", name, check=False, timeout=left
        )
        if known.returncode == 0:
            _note_key(keys, known.stdout.strip(), node.site.root)
            master.shell.run("gnt-node", "remove", name, check=False, timeout=left)
        # gnt-node add puts the node's key and its address there before the job that adds the node comes that far, and
        # a job that fails leaves them (lib/client/gnt_node.py, _SetupSSH; LUNodeAdd.Exec); verify would complain.
        _drop_lines(keys, lambda words: words[:1] == [name])
        _drop_lines(master.site.root / "etc/hosts", lambda words: words[1:2] == [name])

    def start_optional(self, node: BootNode) -> None:
        """Start what Ganeti's init scripts would start on a node: neither init nor add does it."""
        for name in self._daemons:
            self._run(
                node,
                str(self._farm.daemon_util),
                "start",
                DAEMONS[name].program,
                what=f"start {name} on {node.site.name}",
            )

    def set_offline(self, master: BootNode, node: BootNode) -> None:
        """Mark a node offline."""
        self._run(
            master,
            "gnt-node",
            "modify",
            "--offline=yes",
            node.site.name,
            what=f"set {node.site.name} offline",
        )

    def add_group(self, master: BootNode, group: str) -> None:
        """Add a node group."""
        self._run(master, "gnt-group", "add", group, what=f"add node group {group}")

    def assign_group(self, master: BootNode, node: BootNode) -> None:
        """Move a node, such as the master, which is always made in the default group, to the group it is to be in."""
        self._run(
            master,
            "gnt-group",
            "assign-nodes",
            node.group,
            node.site.name,
            what=f"put {node.site.name} into node group {node.group}",
        )

    def wait_ready(self, node: BootNode, master: BootNode) -> None:
        """Return when every daemon that Ganeti wants on the node answers."""
        names = ["noded", *(("wconfd", "luxid", "rapi") if node is master else ()), *self._daemons]
        address = attrs.evolve(node.address, credentials=master.site.root)
        for name in names:
            wait_ready(DAEMONS[name], node.site.name, address, deadline=self._deadline)

    def _run(self, node: BootNode, *argv: str, what: str, also: Sequence[BootNode] = ()) -> CommandResult:
        """Run a command on a node; fail at once when a daemon there, or on the nodes `also`, ends meanwhile."""
        watch = DaemonWatch([(one.site.name, one.site.root) for one in (node, *also)], self._daemons)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise BootFailed(f"no time left to {what}", cure="give more with --vcluster-timeout")
        try:
            return node.shell.run(*argv, timeout=left, watch=watch.look)
        except CommandFailed as error:
            raise BootFailed(
                f"could not {what}: {error.message}",
                seen=f"{error.seen}\n{boot_logs(node.site.root)}",
                cure=_cure(error),
            ) from error


def _note_key(keys: Path, uuid: str, root: Path) -> None:
    """Note a node's key, unless that is done or Ganeti keeps none: it removes no node whose key it does not know.

    A join that fails between the configuration and the keys leaves such a node (LUNodeAdd._SshUpdate).
    """
    if not keys.exists() or uuid in keys.read_text(encoding="utf-8"):
        return
    for own in sorted((root / "root/.ssh").glob("id_*.pub"), reverse=True)[:1]:
        with keys.open("a", encoding="utf-8") as stream:
            stream.write(f"{uuid} {own.read_text(encoding='utf-8').strip()}\n")


def _drop_lines(path: Path, unwanted: Callable[[list[str]], bool]) -> None:
    """Take the lines out of a file whose words are unwanted; nothing happens where there are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = [line for line in lines if not unwanted(line.split())]
    if kept != lines:
        path.write_text("".join(kept), encoding="utf-8")


def _secondary_ip(node: BootNode) -> list[str]:
    return [f"--secondary-ip={node.site.secondary_ip}"] if node.site.secondary_ip else []


def _cure(error: CommandFailed) -> str:
    if error.result is not None and error.result.timed_out:
        return "give more time with --vcluster-timeout, or look at the logs above for what hangs"
    if "No space left" in error.seen:
        return "make room, or choose another folder with --vcluster-root"
    return "the output and logs above tell why; `ganeti-vcluster doctor` checks what the machine lacks"


def boot_logs(root: Path) -> str:
    """Return the ends of the logs of a node that have something in them, newest last, for an error."""
    found = [log for log in (root / "var/log/ganeti").glob("*.log") if log.stat().st_size]
    logs = sorted(found, key=lambda path: path.stat().st_mtime)
    return "\n".join(f"end of {log}:\n{log_tail(log, 8)}" for log in logs[-4:])
