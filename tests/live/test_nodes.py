"""Nodes: what they report, what they are in the cluster, and how they come and go."""

from __future__ import annotations

import psutil
import pytest

from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import BootFailed, SpecError
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.live.effects import running_on
from tests.rows.daemons import after_a_join


@pytest.fixture(scope="module")
def varied(vcluster_factory: ClusterFactory) -> VirtualCluster:
    """A cluster in which no node is like another."""
    return vcluster_factory(
        name="varied",
        nodes=[
            NodeSpec(memory=4096, cpus=4, disk=10240),
            NodeSpec(name="big", memory=65536, cpus=32, disk=204800, group="rack2"),
            NodeSpec(name="helper", master_candidate=False),
            NodeSpec(name="broken", offline=True),
        ],
        daemons=("confd", "mond"),
        init_options=("--candidate-pool-size=5", "--maintain-node-health=no"),
    )


def listed(cluster: VirtualCluster, *fields: str) -> dict[str, list[str]]:
    """Give columns of `gnt-node list`, by node."""
    lines = cluster.run(
        "gnt-node", "list", "--no-headers", "--units=m", "--separator=|", "-o", ",".join(("name", *fields))
    ).lines
    return {name: rest for name, *rest in (line.split("|") for line in lines)}


def test_nothing_is_wrong_with_it(varied: VirtualCluster) -> None:
    assert varied.verify() == []


def test_names(varied: VirtualCluster) -> None:
    assert varied.name == "varied.vc"
    assert [node.name for node in varied.nodes] == ["node1.vc", "big.vc", "helper.vc", "broken.vc"]
    assert varied.node("big") is varied.node("big.vc") is varied.node(1)
    assert varied.run("gnt-cluster", "info").stdout.startswith("Cluster name: varied.vc\n")


def test_node_reports_what_its_spec_says(varied: VirtualCluster) -> None:
    figures = listed(varied, "mtotal", "mfree", "ctotal", "dtotal", "dfree")
    assert figures["node1.vc"] == ["4096", "4096", "4", "10240", "10240"]
    assert figures["big.vc"] == ["65536", "65536", "32", "204800", "204800"]
    # The others have the machine's own figures.
    assert int(figures["helper.vc"][0]) == psutil.virtual_memory().total >> 20
    assert int(figures["helper.vc"][2]) == psutil.cpu_count()
    storage = varied.run(
        "gnt-node", "list-storage", "-t", "file", "--no-headers", "--units=m", "--separator=|", "-o",
        "node,size,free", "node1", "big",
    ).lines  # fmt: skip
    assert sorted(storage, reverse=True) == ["node1.vc|10240|10240", "big.vc|204800|204800"]


def test_a_node_that_is_no_master_candidate_comes_up_again(varied: VirtualCluster) -> None:
    helper = varied.node("helper")
    before = helper.daemon("noded").pid
    helper.power_cycle()
    rebooted = helper.daemon("noded").pid
    assert rebooted not in {before, None}
    helper.daemon("noded").restart()
    assert helper.daemon("noded").pid not in {rebooted, None}
    assert varied.verify() == []


def test_free_memory_is_what_instances_leave(varied: VirtualCluster) -> None:
    instance = varied.add_instance(primary="big", memory=1024)
    assert listed(varied, "mfree", "pinst_cnt")["big.vc"] == [str(65536 - 1024), "1"]
    instance.remove()
    assert listed(varied, "mfree", "pinst_cnt")["big.vc"] == ["65536", "0"]


def test_roles_and_groups(varied: VirtualCluster) -> None:
    assert listed(varied, "role", "group") == {
        "node1.vc": ["M", "default"],
        "big.vc": ["C", "rack2"],
        "helper.vc": ["R", "default"],
        "broken.vc": ["O", "default"],
    }
    groups = varied.luxi.query("group", ["name", "node_cnt"]).rows
    assert {row["name"]: row["node_cnt"] for row in groups} == {"default": 3, "rack2": 1}


def test_optional_daemons(varied: VirtualCluster) -> None:
    assert [{"confd", "mond"} <= set(node.daemons) for node in varied.nodes] == [True] * 4


def test_options_for_init(varied: VirtualCluster) -> None:
    assert varied.luxi.query_cluster_info()["candidate_pool_size"] == 5


def test_node_joins_and_leaves(varied: VirtualCluster) -> None:
    node = varied.add_node(memory=2048, group="rack3")
    assert (node.name, varied.nodes[-1]) == ("node5.vc", node)
    assert listed(varied, "mtotal", "role", "group")["node5.vc"] == ["2048", "C", "rack3"]
    instance = varied.add_instance(primary=node)
    assert running_on(varied, instance.name) == ["node5.vc"]
    assert varied.verify() == []
    instance.remove()
    pids = {daemon.pid for daemon in node.daemons.values()}
    assert len(pids) == 3

    varied.remove_node("node5")

    assert [one.name for one in varied.nodes] == ["node1.vc", "big.vc", "helper.vc", "broken.vc"]
    assert "node5.vc" not in listed(varied, "role")
    assert not node.root.exists()
    assert not pids & {process.pid for process in varied.parts.keeper.processes()}
    assert varied.verify() == []


def test_node_is_joined_again(varied: VirtualCluster) -> None:
    varied.run("gnt-node", "add", "--readd", "--no-ssh-key-check", "big")
    assert listed(varied, "role", "group")["big.vc"] == ["C", "rack2"]
    assert varied.verify() == []


def test_name_that_is_taken(varied: VirtualCluster) -> None:
    for name in ("big", "varied", "instance7"):
        with pytest.raises(SpecError, match=f"'{name}' is not possible: varied.vc has the name already"):
            varied.add_node(name)
    assert varied.node("big").root.is_dir()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo no more nodes; exit 1", "no more nodes"),
        # By then Ganeti has written the node down: its name, address and key.
        (
            "ssh -oBatchMode=yes -oStrictHostKeyChecking=no late.vc 'echo > .ssh/authorized_keys'",
            "Could not update the node's SSH setup",
        ),
    ],
    ids=["by a hook", "because of ssh"],
)
def test_join_that_fails_leaves_nothing(varied: VirtualCluster, script: str, told: str) -> None:
    hooks = varied.master.path("/etc/ganeti/hooks/node-add-pre.d")
    hooks.mkdir()
    hook = hooks / "refuse"
    hook.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    hook.chmod(0o755)
    try:
        with pytest.raises(BootFailed, match=r"could not add late\.vc") as caught:
            varied.add_node("late")
    finally:
        hook.unlink()
        hooks.rmdir()
    assert told in caught.value.seen
    assert "late.vc" not in listed(varied, "role")
    assert not (varied.root / "late.vc").exists()
    assert not [one for one in varied.parts.keeper.processes() if one.name.startswith("late")]
    assert varied.verify() == []
    varied.remove_node(varied.add_node("late"))


@pytest.mark.vcluster(nodes=1, daemons=())
def test_a_node_joins_where_no_optional_daemon_runs(vcluster: VirtualCluster) -> None:
    late = vcluster.add_node("late")
    assert set(late.daemons) == after_a_join(vcluster)
    assert vcluster.verify() == []
