import pytest

from pytest_ganeti_vcluster.cluster.spec import NodeSpec

UNEQUAL = [
    NodeSpec(memory=1024, cpus=1, disk=10240),
    NodeSpec(memory=8192, cpus=8, disk=102400),
    NodeSpec(memory=8192, cpus=8, disk=102400, master_candidate=False),
]


@pytest.mark.vcluster(nodes=UNEQUAL)
def test_allocator_takes_a_larger_node(vcluster):
    web = vcluster.add_instance("web", memory=2048)
    assert web.primary.name in {"node2.vc", "node3.vc"}
    rows = vcluster.luxi.query("node", ["mtotal", "ctotal", "role"]).rows
    assert [(row["mtotal"], row["ctotal"], row["role"]) for row in rows] == [
        (1024, 1, "M"),
        (8192, 8, "C"),
        (8192, 8, "R"),
    ]


@pytest.mark.vcluster(nodes=[NodeSpec(), NodeSpec(group="remote")])
def test_second_group(vcluster):
    rows = vcluster.luxi.query("group", ["name", "node_list"]).rows
    assert {row["name"]: row["node_list"] for row in rows} == {
        "default": ["node1.vc"],
        "remote": ["node2.vc"],
    }
