"""Node groups: which nodes they have, what may be allocated there, and to what policy instances are held."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.rows.refusals import refusal
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=4)

#: As `ganeti/bootstrap.py` has it for the cluster, but for the most memory.
_POLICY = (
    "min:disk-size=0,cpu-count=1,disk-count=0,memory-size=1,nic-count=0,spindle-use=0"
    "/max:disk-size=1048576,cpu-count=64,disk-count=16,memory-size={memory},nic-count=8,spindle-use=12"
)


def groups(cluster: VirtualCluster) -> dict[str, list[str]]:
    """Give the nodes of each group."""
    nodes = cluster.luxi.query("node", ["name", "group"]).rows
    names = cluster.luxi.query("group", ["name"]).column("name")
    return {name: sorted(str(row["name"]) for row in nodes if row["group"] == name) for name in names}


def two_groups(cluster: VirtualCluster) -> None:
    """Leave two nodes in the default group, and have two in one called "rack2"."""
    cluster.run("gnt-group", "add", "rack2")
    cluster.run("gnt-group", "assign-nodes", "rack2", "node3", "node4")


@shows("node groups", "groups are added, filled, renamed, emptied and removed; clashes are refused")
def test_life_of_a_group(vcluster: VirtualCluster) -> None:
    two_groups(vcluster)
    assert groups(vcluster) == {"default": ["node1.vc", "node2.vc"], "rack2": ["node3.vc", "node4.vc"]}
    for argv, told in (
        (("add", "rack2"), "Desired group name 'rack2' already exists as a node group"),
        (("rename", "rack2", "default"), "Desired new name 'default' clashes with existing node group"),
        (("remove", "rack2"), "Group 'rack2' not empty, has the following nodes"),
        (("assign-nodes", "nosuch", "node1"), "Node group 'nosuch' not found"),
    ):
        assert told in refusal(vcluster, "gnt-group", *argv)
    vcluster.run("gnt-group", "rename", "rack2", "rack3")
    assert set(groups(vcluster)) == {"default", "rack3"}
    # A dead node is assigned like any other: it is a matter of the master's books.
    vcluster.node("node4").power_off()
    vcluster.run("gnt-group", "assign-nodes", "default", "node3", "node4")
    vcluster.run("gnt-group", "remove", "rack3")
    assert groups(vcluster) == {"default": ["node1.vc", "node2.vc", "node3.vc", "node4.vc"]}


@shows("node groups", "instances go where a group's allocation policy allows")
def test_allocation_policy(vcluster: VirtualCluster) -> None:
    two_groups(vcluster)
    vcluster.run("gnt-group", "modify", "--alloc-policy=unallocable", "default")
    assert vcluster.add_instance().primary.name in ("node3.vc", "node4.vc")
    vcluster.run("gnt-group", "modify", "--alloc-policy=unallocable", "rack2")
    with pytest.raises(JobFailed, match="Can't compute nodes using iallocator 'hail'"):
        vcluster.add_instance()
    # By hand it goes all the same.
    assert vcluster.add_instance(primary="node4").primary.name == "node4.vc"
    vcluster.run("gnt-group", "modify", "--alloc-policy=last_resort", "rack2")
    vcluster.run("gnt-group", "modify", "--alloc-policy=preferred", "default")
    assert vcluster.add_instance().primary.name in ("node1.vc", "node2.vc")
    told = refusal(vcluster, "gnt-group", "modify", "--alloc-policy=nosuch", "rack2")
    assert 'Invalid string value for type AllocPolicy: "nosuch"' in told


@shows("node groups", "instances that violate a group's policy are told of, new ones refused")
def test_instance_policy(vcluster: VirtualCluster) -> None:
    two_groups(vcluster)
    instance = vcluster.add_instance(primary="node1", memory=128)
    narrow = f"--ipolicy-bounds-specs={_POLICY.format(memory=64)}"

    told = vcluster.run("gnt-group", "modify", narrow, "default")

    assert f"After the ipolicy change the following instances violate them: {instance.name}" in told.stdout
    [problem] = vcluster.verify()
    assert (problem.code, problem.item) == ("EINSTANCEPOLICY", instance.name)
    assert problem.message == "memory-size value 128 is not in range [4, 64]"
    with pytest.raises(JobFailed, match=r"\(default\) violates policy: memory-size value 128"):
        vcluster.add_instance(primary="node1", memory=128)
    vcluster.add_instance(primary="node1", memory=128, ignore_ipolicy=True)
    # The other group has its own.
    assert vcluster.add_instance(memory=128).primary.name in ("node3.vc", "node4.vc")


@shows("node groups", "instances change their group, by an iallocator and one by one")
def test_instances_change_their_group(vcluster: VirtualCluster) -> None:
    two_groups(vcluster)
    instance = vcluster.add_instance(primary="node3")
    on_file = vcluster.add_instance(primary="node3", disk_template="file")
    told = refusal(vcluster, "gnt-instance", "change-group", "--to=rack2", instance.name)
    assert "as targets, they are used by the instance" in told

    vcluster.run("gnt-instance", "change-group", "--to=default", instance.name)

    vcluster.wait_idle()
    assert instance.primary.name in ("node1.vc", "node2.vc")
    told = refusal(vcluster, "gnt-instance", "change-group", "--to=default", on_file.name)
    assert "Instances of type file cannot be relocated" in told
    # Ganeti's own fault: LUGroupEvacuate looks at its groups' locks (lib/cmdlib/group.py, DeclareLocks) before it has
    # them, as it does not say that they are to be taken level by level (`dont_collate_locks`); so it is in 3.1.1.
    assert "command execution error" in refusal(vcluster, "gnt-group", "evacuate", "--to=default", "rack2")
    assert "assert self.group_uuid in owned_groups" in vcluster.master.path(
        "/var/log/ganeti/jobs.log"
    ).read_text(encoding="utf-8")
