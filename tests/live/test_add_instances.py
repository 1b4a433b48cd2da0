"""Many instances by jobs: what they are called, where they go, and what is told of those that cannot be."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import InstancesFailed, JobFailed, SpecError

_TEMPLATES = ("diskless", "file", "sharedfile")

_ALL_BUT_ONE = """
    #!/usr/bin/env python3
    import json, sys

    with open(sys.argv[1]) as file:
        *these, other = json.load(file)["request"]["instances"]
    placed = [[one["name"], ["node2.vc"]] for one in these]
    print(json.dumps({"success": True, "info": "", "result": [placed, [other["name"]]]}))
"""

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=_TEMPLATES)


def _homes(cluster: VirtualCluster) -> dict[str, str]:
    return {row["name"]: row["pnode"] for row in cluster.luxi.query("instance", ["name", "pnode"]).rows}


def test_names_and_nodes(vcluster: VirtualCluster) -> None:
    vcluster.add_instance("web2", primary="node1")
    told: list[str] = []
    made = vcluster.add_instances(6, nodes=["node2", "node3"], prefix="web", memory=64, tell=told.append)
    assert [one.name for one in made] == [f"web{number}.vc" for number in (1, 3, 4, 5, 6, 7)]
    homes = _homes(vcluster)
    assert [homes[one.name] for one in made] == ["node2.vc", "node3.vc"] * 3
    assert {row["status"] for row in vcluster.luxi.query("instance", ["status"]).rows} == {"running"}
    assert made[3].field("oper_ram") == 64
    assert told == ["6 of 6 instances created"]
    # A job for each.
    created = [job.record().summary for job in vcluster.jobs()][-6:]
    assert created == [(f"INSTANCE_CREATE({one.name})",) for one in made]


def test_the_others_stay_where_some_fail(vcluster: VirtualCluster) -> None:
    # A file that is in the way of the one that goes there.
    in_the_way = vcluster.node("node2").path("/srv/ganeti/file-storage/db2.vc")
    in_the_way.write_text("no folder")
    with pytest.raises(InstancesFailed, match=r"1 of 4 instances could not be created: db2\.vc") as caught:
        vcluster.add_instances(4, disk_template="file", prefix="db")
    in_the_way.unlink()
    failed = caught.value
    assert list(failed.failures) == ["db2.vc"]
    assert (failed.opcode, failed.status) == ("OP_INSTANCE_CREATE", "error")
    assert failed.failures["db2.vc"].job_id == failed.job_id
    assert failed.error in str(failed)
    assert failed.error
    assert _homes(vcluster) == {"db1.vc": "node1.vc", "db3.vc": "node3.vc", "db4.vc": "node1.vc"}


def test_an_iallocator_chooses(vcluster: VirtualCluster) -> None:
    made = vcluster.add_instances(6, iallocator="hail", memory=256, name_check=True)
    homes = _homes(vcluster)
    assert list(homes) == [one.name for one in made]
    # Balanced, as hail does it.
    assert Counter(homes.values()) == {node.name: 2 for node in vcluster.nodes}
    summaries = [job.record().summary[0] for job in vcluster.jobs()]
    assert summaries.count("INSTANCE_MULTI_ALLOC") == 1


def test_an_iallocator_finds_no_node_for_one(vcluster: VirtualCluster) -> None:
    # hail finds nodes for all or none; others may do otherwise (lib/masterd/iallocator.py).
    vcluster.scripts.add_iallocator("all-but-one", _ALL_BUT_ONE)
    with pytest.raises(
        InstancesFailed, match=r"1 of 3 instances could not be created: instance3\.vc"
    ) as caught:
        vcluster.add_instances(3, iallocator="all-but-one")
    assert "all-but-one has found no node for it" in caught.value.error
    assert _homes(vcluster) == {"instance1.vc": "node2.vc", "instance2.vc": "node2.vc"}
    with pytest.raises(JobFailed, match="Can't compute nodes using iallocator 'hail'"):
        vcluster.add_instances(2, iallocator="hail", memory=1 << 30)


def test_what_cannot_be(vcluster: VirtualCluster) -> None:
    with pytest.raises(SpecError, match="both nodes and an iallocator"):
        vcluster.add_instances(2, nodes=["node1"], iallocator="hail")
    with pytest.raises(SpecError, match="instances=0"):
        vcluster.add_instances(0)
    assert vcluster.instances == []


@pytest.mark.slow
@pytest.mark.vcluster(nodes=4)
def test_a_hundred(vcluster: VirtualCluster) -> None:
    made = vcluster.add_instances(100, memory=16)
    listed = vcluster.run("gnt-instance", "list", "--no-headers", "-o", "name,pnode,status").lines
    found = [line.split() for line in listed]
    assert {name for name, _node, _status in found} == {one.name for one in made}
    assert Counter(node for _name, node, _status in found) == {node.name: 25 for node in vcluster.nodes}
    assert {status for _name, _node, status in found} == {"running"}
    assert vcluster.verify() == []
