"""Nodes are switched off and on, by Ganeti through an out-of-band helper and by tests, and crash."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed, UserError
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.keeper.client import Child
from tests.leaks import settle
from tests.rows.booting import boot_id
from tests.rows.daemons import MASTER_DAEMONS, node_daemons
from tests.rows.networks import nobody_answers
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))


def use_oob(cluster: VirtualCluster) -> None:
    """Have Ganeti use the helper for all nodes."""
    cluster.run("gnt-cluster", "modify", f"--node-parameters=oob_program={cluster.oob_program}")


def powered(cluster: VirtualCluster) -> dict[str, str]:
    """Give the table that `gnt-node power status` prints, by node."""
    lines = cluster.run("gnt-node", "power", "--no-headers", "--separator=|", "status", check=False).lines
    return {name: rest for line in lines for name, _bar, rest in [line.partition("|")] if name}


def login(cluster: VirtualCluster, node: VirtualNode, *command: str) -> CommandResult:
    """Run a command on a node by ssh from the master."""
    options = (
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=no",
        "-oUserKnownHostsFile=/dev/null",
        "-oLogLevel=ERROR",
    )
    return cluster.run("ssh", *options, node.name, *command, check=False)


def delay(node: VirtualNode, seconds: float) -> dict[str, object]:
    """Give an opcode that keeps a node busy."""
    return {"OP_ID": "OP_TEST_DELAY", "duration": seconds, "on_master": False, "on_nodes": [node.name]}


def spawn(cluster: VirtualCluster, node: VirtualNode, *argv: str) -> Child:
    """Have a program run on a node, for nobody there."""
    parts = cluster.parts
    command = parts.site.command(node.boot_node.site, argv)
    assert command is not None
    if parts.site.has_machines:
        return parts.keeper.spawn(command.argv, stdout=node.path("/tmp/out"), env={}, cwd=command.folder)
    # Where the kernel cannot change what it tells of a forked program, that has the fork server's environment.
    disguised = {"GANETI_ROOTDIR": str(node.root.parent / "no-such-node")}
    return parts.keeper.spawn(argv, stdout=node.path("/tmp/out"), env=disguised, cwd=node.path("/root"))


@shows("node oob", "`gnt-node power off` and `on` end the node's processes, and start them again")
def test_off_and_on_by_the_helper(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    use_oob(vcluster)
    assert set(powered(vcluster).values()) == {"powered"}
    with pytest.raises(JobFailed, match=r"Cannot power off node node2\.vc because it is not marked offline"):
        vcluster.submit({"OP_ID": "OP_OOB_COMMAND", "command": "power-off", "node_names": ["node2.vc"]}).wait(
            60
        )
    assert set(node.daemons) == node_daemons(vcluster)

    # The command marks it offline first (lib/client/gnt_node.py, PowerNode).
    vcluster.run("gnt-node", "power", "-f", "off", "node2")

    assert not node.is_on
    assert node.daemons == {}
    assert nobody_answers(vcluster, login(vcluster, node, "true").stderr)
    assert powered(vcluster)["node2.vc"] == "unpowered"
    assert vcluster.run("gnt-node", "list", "-o", "powered", "--no-headers", "node2").lines == ["N"]

    # Twice: a machine that is on takes no notice.
    for _time in range(2):
        vcluster.run("gnt-node", "power", "on", "node2")
        assert set(node.daemons) == node_daemons(vcluster)

    assert login(vcluster, node, "hostname").stdout == "node2.vc\n"
    vcluster.run("gnt-node", "modify", "-f", "--offline=no", "node2")
    assert vcluster.verify() == []


@shows("node oob", "`gnt-node health` tells a node that crashed, and one that is off, from one that works")
def test_health(vcluster: VirtualCluster) -> None:
    use_oob(vcluster)
    vcluster.node("node2").crash()
    vcluster.node("node3").power_off()
    told = vcluster.run("gnt-node", "health", "--no-headers", "--separator=|")
    warned = [line for line in told.lines if "WARNING:" in line]
    assert [line for line in told.lines if line not in warned] == [
        "node1.vc|power=OK", "|system=OK", "node2.vc|power=OK", "|system=CRITICAL",
        "node3.vc|power=WARNING", "|system=UNKNOWN",
    ]  # fmt: skip
    assert warned[0].endswith("Item 'system' on node 'node2.vc' has status 'CRITICAL'")


@shows("node oob", "the master is not switched off by itself; the helper does it when it is called by hand")
def test_power_cycle_of_the_master(vcluster: VirtualCluster) -> None:
    use_oob(vcluster)
    master = vcluster.master
    before = boot_id(master)
    refused = vcluster.run("gnt-node", "power", "-f", "cycle", "node1", check=False)
    by_hand = f"{vcluster.oob_program} power-cycle node1.vc"
    assert "Operating on the master node node1.vc is not allowed for power-cycle" in refused.stderr
    assert f"run '{by_hand}' if you want to operate on the master regardless" in refused.stderr
    assert boot_id(master) == before
    # A job on the master goes down with it.
    job = vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 600.0, "on_master": True, "on_nodes": []})
    assert not settle(lambda: job.status != "running")

    # Where it is on a machine, the command goes down with that.
    master.run(*by_hand.split(), check=vcluster.engine == "loopback")

    assert not settle(lambda: boot_id(master) in {before, None}, timeout=30)
    assert not settle(lambda: set(master.daemons) != MASTER_DAEMONS | node_daemons(vcluster), timeout=60)
    # luxid looks for dead jobs every 307 seconds (src/Ganeti/Constants.hs, luxidJobqueuePollInterval), or when told.
    assert job.status == "running"
    vcluster.run("gnt-job", "cancel", "--kill", "--yes-do-it", str(job.id), check=False)
    assert not settle(lambda: job.status != "error", timeout=30)
    assert vcluster.rapi.info()["master"] == master.name
    assert vcluster.verify() == []


@shows("node oob", "a helper that fails is told of, and changes nothing that Ganeti has written down")
def test_helper_that_fails(vcluster: VirtualCluster) -> None:
    use_oob(vcluster)
    node = vcluster.node("node2")
    node.power_off()
    told = vcluster.run("gnt-node", "power", "-f", "cycle", "node2", check=False)
    assert "node2.vc is switched off, and cannot be power-cycled" in told.stdout
    assert not node.is_on
    nonsense = vcluster.run(str(vcluster.oob_program), "power-sideways", "node2.vc", check=False)
    assert (nonsense.returncode, nonsense.stdout) == (1, "")
    stranger = vcluster.run(str(vcluster.oob_program), "power-on", "nobody.vc", check=False)
    assert "no node 'nobody.vc'" in stranger.stderr
    vcluster.run("gnt-node", "modify", "--node-parameters=oob_program=", "node2")
    assert powered(vcluster)["node2.vc"] == "(unavail)"


@shows(
    "node powercycle",
    "`gnt-node powercycle` boots the virtual node, its instances are down",
    because=("power-cycle", "boot-id"),
)
def test_powercycle(vcluster: VirtualCluster) -> None:
    if vcluster.parts.site.has_machines and not Path("/proc/sysrq-trigger").exists():
        pytest.skip("this kernel has no /proc/sysrq-trigger, by which Ganeti starts a machine again")
    node, other = vcluster.node("node2"), vcluster.node("node3")
    instance, spared = vcluster.add_instance(primary=node), vcluster.add_instance(primary=other)
    before, pids = boot_id(node), {name: daemon.pid for name, daemon in node.daemons.items()}
    refused = vcluster.run("gnt-node", "powercycle", "--yes", "node1", check=False)
    assert "The node is the master and the force parameter was not set" in refused.stderr

    told = vcluster.run("gnt-node", "powercycle", "--yes", "node2")

    assert told.stderr == "Reboot scheduled in 5 seconds\n"
    assert not settle(lambda: boot_id(node) in {before, None}, timeout=30)
    assert not settle(lambda: set(node.daemons) != node_daemons(vcluster), timeout=30)
    assert not {daemon.pid for daemon in node.daemons.values()} & set(pids.values())
    assert not settle(lambda: instance.status != "ERROR_down", timeout=30)
    assert spared.status == "running"
    told = vcluster.run("gnt-node", "list", "--no-headers", "-o", "bootid", "node2")
    assert told.lines == [boot_id(node)]


@shows(
    "node powercycle",
    "a job on a node that is switched off fails, and Ganeti says that the node is not reached",
)
def test_running_job_on_a_node_that_is_switched_off(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    job = vcluster.submit(delay(node, 600.0))
    assert not settle(lambda: job.status != "running")
    switch = threading.Thread(target=node.power_off)
    switch.start()
    with pytest.raises(JobFailed, match=r"Failure during rpc call to node node2.vc"):
        job.wait(60)
    switch.join()
    down = vcluster.run("gnt-node", "list", "--no-headers", "-o", "mtotal", "node2")
    assert down.lines == ["?"]
    with pytest.raises(JobFailed, match="node2"):
        vcluster.add_instance(primary=node)


@shows("node powercycle", "a switched-off node is off for every process, and a reset switches it on")
def test_power_is_the_same_for_every_process(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node3")
    with attach_cluster(vcluster.root) as attached:
        attached.node("node3").power_off()
        assert not node.is_on
        with pytest.raises(CommandFailed, match=r"on node3.vc: true ended with status 255") as caught:
            node.run("true")
        assert "node3.vc is switched off" in caught.value.seen
        with pytest.raises(UserError, match=r"node3.vc is switched off, and cannot be power-cycled"):
            node.power_cycle()
        node.power_off()
        node.crash()
        asleep = vcluster.snapshot()
        node.power_on()
        booted = boot_id(node)
        attached.node("node3").power_on()
        assert boot_id(node) == booted
        assert login(vcluster, node, "hostname").stdout == "node3.vc\n"
    vcluster.restore(asleep)
    assert not node.is_on
    assert node.daemons == {}
    assert nobody_answers(vcluster, login(vcluster, node, "true").stderr)
    vcluster.reset()
    assert set(node.daemons) == node_daemons(vcluster)
    assert login(vcluster, node, "hostname").stdout == "node3.vc\n"
    assert vcluster.verify() == []


@shows(
    "node powercycle", "a node that crashes loses its processes, logins and instances, and keeps its files"
)
def test_crash(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    instance = vcluster.add_instance(primary=node)
    before = boot_id(node)
    results: list[CommandResult] = []
    sleeper = threading.Thread(
        target=lambda: results.append(login(vcluster, node, "echo here; exec sleep 600"))
    )
    sleeper.start()
    keeper = vcluster.parts.keeper
    kept, ended = (spawn(vcluster, one, "sleep", "600") for one in (vcluster.node("node3"), node))
    assert not settle(lambda: len([one for one in keeper.processes() if one.name == "sleep"]) < 3)
    others = {name: daemon.pid for name, daemon in vcluster.node("node3").daemons.items()}

    node.crash()

    sleeper.join(30)
    assert (kept.poll(), ended.poll()) == (None, -signal.SIGKILL)
    assert {name: daemon.pid for name, daemon in vcluster.node("node3").daemons.items()} == others
    assert results[0].returncode == 255
    assert node.daemons == {}
    assert node.daemon("noded").log() != ""
    assert node.path("/var/run/ganeti/ganeti-noded.pid").exists()
    assert (node.is_on, boot_id(node)) == (True, before)
    assert login(vcluster, node, "hostname").stdout == "node2.vc\n"
    assert instance.status == "ERROR_nodedown"
    node.run_watcher()
    assert instance.status == "ERROR_down"


@shows("node powercycle", "a master that was away while another one took over does not become it again")
def test_old_master_comes_back(vcluster: VirtualCluster) -> None:
    old, new, _third = vcluster.nodes
    old.power_off()
    assert vcluster.master is old
    new.run("gnt-cluster", "master-failover")
    assert vcluster.master is new
    old.power_on()
    assert set(old.daemons) == node_daemons(vcluster)
    assert vcluster.master is new
    assert not old.holds_master_ip
