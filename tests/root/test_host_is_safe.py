"""As root: a whole life of a cluster, and the machine is as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from tests.leaks import settle
from tests.rows.booting import boot_id

CAP_SYS_BOOT = 22

#: What Ganeti and sshd would change on a machine of their own.
WATCHED = (
    "/etc/hosts",
    "/etc/ssh",
    "/etc/ganeti",
    "/var/lib/ganeti",
    "/root/.ssh",
)

# Asks, in Ganeti's interpreter and on the node, what a power cycle would run.
_POWER_CYCLE = """
import os, sys
sys.path[:0] = [os.environ["VCLUSTER_FARM"] + "/site", os.environ["VCLUSTER_SHARE"]]
from vcluster_inside.activation import activate
activate()
from ganeti.hypervisor import hv_base
print(hv_base.BaseHypervisor.LinuxPowercycle.__func__.__module__)
"""


def _tree(path: Path) -> dict[str, tuple[object, ...]]:
    """Give every file below a path with what it is and holds."""
    found: dict[str, tuple[object, ...]] = {}
    for one in [path, *sorted(path.rglob("*"))]:
        if not os.path.lexists(one):
            continue
        seen = one.lstat()
        content = hashlib.sha256(one.read_bytes()).hexdigest() if stat.S_ISREG(seen.st_mode) else ""
        found[str(one)] = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, content)
    return found


def _addresses() -> str:
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if ip is None:
        return Path("/proc/net/fib_trie").read_text(encoding="ascii")
    # Without the time left of leases, which goes on by itself.
    lines = subprocess.check_output([ip, "address"], text=True).splitlines()
    return "\n".join(line for line in lines if "valid_lft" not in line)


def _machine() -> dict[str, object]:
    state: dict[str, object] = {"addresses": _addresses()}
    for path in WATCHED:
        state.update(_tree(Path(path)))
    state["mounts"] = Path("/proc/self/mounts").read_text(encoding="utf-8")
    state["boot id"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return state


@pytest.fixture(scope="module")
def machine_before() -> dict[str, object]:
    return _machine()


@pytest.fixture
def cluster(machine_before: dict[str, object], vcluster: VirtualCluster) -> Iterator[VirtualCluster]:
    """A cluster, and after the test the machine as it was."""
    yield vcluster
    after = _machine()
    changed = {
        key for key in machine_before.keys() | after.keys() if machine_before.get(key) != after.get(key)
    }
    assert changed == set()


def _capabilities(pid: int) -> list[int]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return [int(line.split()[1], 16) for line in lines if line.startswith("Cap")]


@pytest.mark.vcluster(nodes=2)
def test_no_process_of_a_cluster_has_the_right_to_reboot(cluster: VirtualCluster) -> None:
    processes = cluster.parts.keeper.processes()
    assert len(processes) > 5
    for process in processes:
        for mask in _capabilities(process.pid):
            assert not mask & (1 << CAP_SYS_BOOT), process


@pytest.mark.vcluster(nodes=2)
def test_what_reboots_a_machine_is_refused_on_a_node(cluster: VirtualCluster) -> None:
    for name in ("reboot", "shutdown", "poweroff", "halt", "systemctl"):
        found = cluster.run("sh", "-c", f"command -v {name}").stdout.strip()
        assert Path(found).parent == cluster.root / "farm" / "shims"


@pytest.mark.vcluster(nodes=2)
def test_a_power_cycle_is_of_the_node_only(cluster: VirtualCluster) -> None:
    # First what it would run, and only then it.
    python = str(cluster.ganeti.python)
    for node in cluster.nodes:
        assert "vcluster_inside" in node.run(python, "-c", _POWER_CYCLE).stdout
    boots = [boot_id(node) for node in cluster.nodes]
    job = cluster.submit({"OP_ID": "OP_NODE_POWERCYCLE", "node_name": "node2.vc", "force": False})
    job.wait(60)
    assert not settle(lambda: boot_id(cluster.nodes[1]) in {boots[1], None}, timeout=60)
    assert boot_id(cluster.nodes[0]) == boots[0]


@pytest.mark.vcluster(nodes=2)
def test_the_machine_is_out_of_reach_of_a_node(cluster: VirtualCluster) -> None:
    if "read-only /etc" not in cluster.parts.keeper.guard.get("done", ()):
        pytest.skip("this machine does not let root mount; the guard says so in its report")
    assert cluster.run("touch", "/etc/hosts", check=False).returncode != 0
    assert cluster.run("ip", "address", "add", "127.9.9.9/32", "dev", "lo", check=False).returncode != 0


@pytest.mark.vcluster(nodes=2)
def test_a_life_of_a_cluster_leaves_the_machine_as_it_was(cluster: VirtualCluster) -> None:
    instance = cluster.add_instance(disk_template="file", primary="node2")
    assert instance.status == "running"
    cluster.run("gnt-cluster", "redist-conf")
    cluster.node("node2").run("gnt-cluster", "master-failover")
    cluster.node("node2").run("gnt-cluster", "command", "true")
    assert cluster.verify() == []
