"""A real split brain: two masters at once, and the recovery that Ganeti's manual prescribes."""

from __future__ import annotations

import json
import time

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import JobFailed
from tests.faults.seeing import Looks

#: Daemons that a master has, and nobody else.
MASTER_DAEMONS = {"luxid", "rapi", "wconfd"}


def masters(cluster: VirtualCluster) -> list[str]:
    """The nodes that hold the master IP, run a master's daemons, and say that they are it."""
    return [
        node.name
        for node in cluster.nodes
        if node.holds_master_ip
        and set(node.daemons) >= MASTER_DAEMONS
        and node.run("gnt-cluster", "master-ping", check=False).returncode == 0
    ]


def add_instance(node: VirtualNode, name: str) -> None:
    """Have the master that a node takes itself for create an instance on it."""
    where = ("-t", "diskless", "-o", "dd+default", "-n", node.name)
    node.run("gnt-instance", "add", *where, "--no-name-check", "--no-ip-check", name)


def instances(node: VirtualNode) -> list[str]:
    """Instances as the master that a node takes itself for knows them."""
    return node.run("gnt-instance", "list", "--no-headers", "-o", "name").stdout.split()


def configured(node: VirtualNode) -> list[str]:
    config = json.loads(node.path("/var/lib/ganeti/config.data").read_text(encoding="utf-8"))
    return sorted(one["name"] for one in config["instances"].values())


def wait_quiet(*nodes: VirtualNode) -> None:
    """Return when no node has tried to connect to another for a second: wconfd has given up to tell them."""
    deadline = time.monotonic() + 120
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1:
        assert time.monotonic() < deadline
        if any(node.run("ss", "-Htn", "state", "syn-sent").stdout.strip() for node in nodes):
            quiet_since = time.monotonic()


@pytest.mark.slow
@pytest.mark.vcluster(nodes=3, needs={"partition"})
def test_two_masters_and_the_way_back_to_one(vcluster: VirtualCluster, seen: Looks) -> None:
    old, new, third = vcluster.nodes
    look = seen(vcluster, "master.isolate()", "gnt-cluster master-failover on another node; split brain")
    with old.isolate():
        # man gnt-cluster, MASTER-FAILOVER: "in order for remote node agreement checks to work, a strict majority of
        # nodes still needs to be functional". Two of three are, and agree.
        failover = new.run("gnt-cluster", "master-failover")
        assert f"Could not disable the master role on the old master {old.name}, please disable manually" in (
            failover.stderr
        )
        look.told(failover.stderr)
        assert masters(vcluster) == [old.name, new.name]
        assert vcluster.master.name == new.name
        assert [node.voted_master for node in (old, new, third)] == [old.name, new.name, new.name]
        # Both take orders.
        for node, name in ((old, "instance1.vc"), (new, "instance2.vc")):
            add_instance(node, name)
        # Otherwise whoever is about to tell the other would overwrite that one's configuration.
        wait_quiet(old, new)
    look.lifted()
    # Joined again, neither knows of the other; and nothing makes them.
    assert masters(vcluster) == [old.name, new.name]
    assert instances(old) == ["instance1.vc"]
    assert instances(new) == ["instance2.vc"]
    assert [configured(node) for node in (old, new, third)] == [
        ["instance1.vc"],
        ["instance2.vc"],
        ["instance2.vc"],
    ]

    # "please disable manually": what the failover's RPCs, which found nobody, would have done there (lib/bootstrap.py,
    # MasterFailover: node_deactivate_master_ip, node_stop_master). The IP first, as nobody knows it afterwards.
    old.run("ip", "address", "del", f"{vcluster.ip}/32", "dev", "eth0")
    old.run("daemon-util", "stop-master", env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin:/usr/lib/ganeti"})
    assert masters(vcluster) == [new.name]
    # Same page: "run gnt-cluster redist-conf to make sure the cluster is consistent again".
    new.run("gnt-cluster", "redist-conf")
    assert {node.voted_master for node in vcluster.nodes} == {new.name}
    assert len({node.path("/var/lib/ganeti/config.data").read_bytes() for node in vcluster.nodes}) == 1

    # What the old master did meanwhile is lost, but for what runs: and verify does not find that. It ends with an error
    # itself (lib/cmdlib/cluster/verify.py, _UpdateNodeInstances: GetMultiInstanceInfoByName raises for an instance that
    # is in no configuration, before _VerifyOrphanInstances could tell of it).
    lost = [one.what for one in vcluster.check_invariants(1.0, verify=False) if one.invariant == "instances"]
    assert lost == [f"instance1.vc runs on {old.name}; it should not run"]
    group = vcluster.luxi.query("group", ["name"]).rows[0]["name"]
    with pytest.raises(JobFailed, match=r"Instance data of instance 'instance1\.vc' not found"):
        vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_GROUP", "group_name": group}).wait(600)
    # Ended by the hypervisor's own means, as Ganeti has none.
    old.path("/var/run/ganeti/fake-hypervisor/instance1.vc").unlink()
    assert vcluster.verify() == []
    assert vcluster.check_invariants() == []
    assert instances(new) == ["instance2.vc"]
    look.recovered(
        "on the old master: ip address del, daemon-util stop-master; on the new one: gnt-cluster redist-conf."
        " What the old one created meanwhile is in no configuration, and is to be ended by hand",
    )


@pytest.mark.slow
@pytest.mark.vcluster(nodes=3, needs={"partition"})
def test_a_minority_gets_no_master(vcluster: VirtualCluster, seen: Looks) -> None:
    """What keeps brains from splitting: the voting."""
    master, other, _third = vcluster.nodes
    look = seen(vcluster, "other.isolate()", "gnt-cluster master-failover on it")
    with other.isolate():
        refused = other.run("gnt-cluster", "master-failover", check=False)
        look.told(refused.stderr)
        assert refused.returncode == 1
        assert "only possible if the majority of nodes are still healthy" in refused.stderr
        assert masters(vcluster) == [master.name]
    look.lifted()
    assert vcluster.verify() == []
    look.recovered("nothing is needed")
