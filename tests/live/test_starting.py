"""Daemons that are started together are as those that are started one by one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import attrs
import psutil
import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.node_root import daemon_arguments
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid
from pytest_ganeti_vcluster.ganeti.starting import Starter
from tests.leaks import settle

pytestmark = pytest.mark.only_on("loopback", "the fork server is for Ganeti as it is adapted")

_TIMEOUT = 60.0


def starter(cluster: VirtualCluster) -> Starter:
    return Starter(farm=cluster.parts.farm, optional=(), deadline=time.monotonic() + _TIMEOUT)


def stop_noded(node: VirtualNode) -> None:
    node.run("daemon-util", "stop", "ganeti-noded")


def listens_to_signals(pid: int) -> bool:
    """Whether a daemon has set its handler for SIGTERM, which it does some time after its start has returned."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def looks(node: VirtualNode) -> dict[str, object]:
    """Tell what a noded has inherited from who started it."""
    pid = daemon_pid(DAEMONS["noded"], node.root)
    assert pid is not None
    assert not settle(lambda: not listens_to_signals(pid))
    process = psutil.Process(pid)
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {
        "command": process.cmdline(),
        "name": process.name(),
        "folder": process.cwd(),
        "environment": process.environ(),
        "limits": Path(f"/proc/{pid}/limits").read_text(encoding="ascii"),
        "status": [
            line
            for line in status.splitlines()
            # SigQ counts the signals that wait for all processes of the user.
            if line.startswith(("Umask", "Sig", "Shd", "Groups")) and not line.startswith("SigQ")
        ],
    }


def test_they_inherit_the_same(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    stop_noded(node)
    node.run(str(vcluster.parts.farm.sbin / "ganeti-noded"), *daemon_arguments("noded", node.ip))
    alone = looks(node)
    stop_noded(node)
    started = starter(vcluster).start_missing(
        [one.boot_node for one in vcluster.nodes], vcluster.master.boot_node
    )
    assert started == [f"noded on {node.name}"]
    assert looks(node) == alone
    assert "?" not in vcluster.run("gnt-node", "list", "--no-headers", "-o", "mfree").stdout


def test_what_the_fork_server_does_not_serve_is_started_without_it(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    stop_noded(node)
    # Another locale than the server's.
    shell = attrs.evolve(
        node.boot_node.shell, environment={**node.boot_node.shell.environment, "LC_ALL": "xx_XX"}
    )
    other = attrs.evolve(node.boot_node, shell=shell)
    assert starter(vcluster).start_missing([other], vcluster.master.boot_node) == [f"noded on {node.name}"]
    assert daemon_pid(DAEMONS["noded"], node.root) is not None


def test_one_that_cannot_start_is_told_with_what_it_says(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    stop_noded(node)
    certificate = node.path("/var/lib/ganeti/server.pem")
    away = certificate.rename(certificate.with_suffix(".away"))
    with pytest.raises(BootFailed) as caught:
        starter(vcluster).start_missing([node.boot_node], vcluster.master.boot_node)
    away.rename(certificate)
    assert "could not start ganeti-noded on node2.vc" in caught.value.message
    assert "server.pem" in caught.value.seen


def test_a_list_of_nothing_starts_nothing(vcluster: VirtualCluster) -> None:
    outcome = vcluster.parts.keeper.run(
        [vcluster.parts.farm.start_many], env=vcluster.parts.farm.environment(), stdin=b"[]", timeout=_TIMEOUT
    )
    assert (outcome.returncode, json.loads(outcome.stdout)) == (0, [])
