"""The network between nodes is cut, or bad; and what Ganeti does then."""

from __future__ import annotations

import math
import time
from typing import Any, Callable

import pytest

from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import EngineUnavailable, JobFailed, UserError
from tests.faults.seeing import Looks

# One spec for all, so that they share a cluster.
network = pytest.mark.vcluster(nodes=3, needs={"partition"})


def unreachable(cluster: VirtualCluster) -> list[str]:
    """The nodes that the master asks for their memory and has no answer of."""
    rows = cluster.luxi.query("node", ["name", "mfree"]).rows
    return [str(row["name"]) for row in rows if row["mfree"] is None]


def short(node: VirtualNode) -> str:
    return node.name.split(".")[0]


@network
def test_a_node_that_is_cut_off_is_missed_until_it_is_back(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.node("node3")
    asked = seen(vcluster, "node.isolate()", "nodes are listed")
    with node.isolate() as fault:
        assert vcluster.faults == [fault]
        assert unreachable(vcluster) == [node.name]
        asked.told(vcluster.run("gnt-node", "list", "-o", "name,mfree").stdout)
        # From outside it is reached as ever.
        assert [one["id"] for one in vcluster.rapi.get("/2/nodes")] == [one.name for one in vcluster.nodes]
        with node.boot_node.address.connect(1811):
            pass
    asked.lifted()
    assert vcluster.faults == []
    assert unreachable(vcluster) == []
    asked.recovered("at once")


@network
@pytest.mark.slow
def test_what_is_to_be_on_a_node_that_is_cut_off_fails(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.node("node3")
    creating = seen(vcluster, "node.isolate()", "an instance is to be created on it")
    with node.isolate():
        with pytest.raises(JobFailed, match=r"connect|timed out") as failed:
            vcluster.add_instance("instance1", primary=node)
        creating.told(failed.value.error)
        assert vcluster.instances == []
    creating.lifted()
    assert vcluster.add_instance("instance1", primary=node).status == "running"
    creating.recovered("at once; the job is to be submitted again")


@network
@pytest.mark.slow
def test_a_master_without_the_others_goes_on_alone(vcluster: VirtualCluster, seen: Looks) -> None:
    master, *others = vcluster.nodes
    look = seen(vcluster, "vcluster.partition({master})", "an instance is created on the master")
    with vcluster.partition({master}):
        assert unreachable(vcluster) == [node.name for node in others]
        assert vcluster.add_instance("instance1", primary=master).status == "running"
        # It tries to tell the others, in the background, for as long as connections take to fail.
        told = ""
        deadline = time.monotonic() + 120
        while not told:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            told = next(
                (line for line in master.log("wconfd").splitlines() if "Can't distribute" in line), ""
            )
        look.told(f"the job succeeds; wconfd: {told.partition(' ERROR ')[2]}")
        # The others see each other.
        others[0].run("ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", others[1].name, "true")
        config = others[0].path("/var/lib/ganeti/config.data")
        assert b"instance1" not in config.read_bytes()
    look.lifted()
    # The next change is distributed, with all before it.
    vcluster.run("gnt-cluster", "redist-conf")
    assert config.read_bytes() == master.path("/var/lib/ganeti/config.data").read_bytes()
    look.recovered("gnt-cluster redist-conf, or the next change of the configuration")


@network
def test_answers_that_come_late_come(vcluster: VirtualCluster, seen: Looks) -> None:
    delay = 0.3
    with vcluster.impair(delay=delay):
        look = seen(vcluster, f"vcluster.impair(delay={delay})", "nodes are listed")
        began = time.monotonic()
        assert unreachable(vcluster) == []
        # A connection is made, and a question answered; TLS comes on top.
        assert time.monotonic() - began >= 4 * delay
        look.told("it takes longer; all nodes answer")
    look.lifted()
    assert unreachable(vcluster) == []
    look.recovered("at once")


@network
@pytest.mark.slow
def test_a_cluster_whose_network_loses_much_still_works(vcluster: VirtualCluster, seen: Looks) -> None:
    look = seen(
        vcluster, "vcluster.impair(delay=0.05, loss=0.1, bandwidth=1000000)", "it is used and verified"
    )
    with vcluster.impair(delay=0.05, loss=0.1, bandwidth=1_000_000):
        assert vcluster.add_instance("instance1", primary="node3").status == "running"
        # It tries once whether others are there, and does not wait long.
        assert {one.code for one in vcluster.verify()} <= {"ENODENET"}
        look.told("all jobs succeed; verify may take what is lost for nodes that are not reached (ENODENET)")
    look.lifted()
    assert vcluster.verify() == []
    look.recovered("nothing is needed")


@network
@pytest.mark.slow
def test_verify_finds_nodes_that_do_not_see_each_other(vcluster: VirtualCluster, seen: Looks) -> None:
    wanted: list[tuple[str, Callable[[], Fault], set[tuple[str, str]]]] = [
        (
            "vcluster.partition({node1}, {node2}, {node3})",
            lambda: vcluster.partition("node1", "node2", "node3"),
            {("node1", "node2"), ("node1", "node3")},
        ),
        (
            "vcluster.drop_traffic(node3, node2)",
            lambda: vcluster.drop_traffic("node3", "node2"),
            {("node2", "node3"), ("node3", "node2")},
        ),
    ]
    for what, cut, pairs in wanted:
        look = seen(vcluster, what, "the cluster is verified")
        with cut():
            problems = [one for one in vcluster.verify() if one.code == "ENODENET"]
            look.told("\n".join(str(one) for one in problems))
            assert {(one.item.split(".")[0], *_named(one.message)) for one in problems} == pairs
        look.lifted()
        assert vcluster.verify() == []
        look.recovered("nothing is needed; verify finds nothing")


def _named(text: str) -> list[str]:
    return [name for name in ("node1", "node2", "node3") if f"'{name}.vc'" in text]


@network
def test_what_is_named_wrongly_is_refused_and_nothing_is_done(vcluster: VirtualCluster) -> None:
    first, second, third = (short(node) for node in vcluster.nodes)
    partition, drop, impair = vcluster.partition, vcluster.drop_traffic, vcluster.impair
    wrong: list[tuple[Callable[..., Fault], tuple[Any, ...], dict[str, Any], str]] = [
        (partition, (), {}, "no sides"),
        (partition, ({first}, {first, second}), {}, f"{first}.vc cannot be on two sides"),
        (partition, ({first}, set()), {}, "has no nodes"),
        (
            partition,
            ({"node9"},),
            {},
            f"'node9', named as a side of a partition, is no node of {vcluster.name}",
        ),
        (partition, ({first, second, third},), {}, "cuts nothing"),
        (partition, (7,), {}, "7 is not a side"),
        (partition, ({7},), {}, "7, named as a side"),
        (drop, (first, first), {}, "both ends"),
        (drop, ("", first), {}, "'', named as"),
        (impair, (), {}, "impairs nothing"),
        (impair, (), {"delay": -1}, "delay=-1"),
        (impair, (), {"delay": math.nan}, "delay=nan"),
        (impair, (), {"delay": "1"}, "delay='1'"),
        (impair, (), {"loss": 1.5}, r"loss=1\.5"),
        (impair, (), {"bandwidth": 0}, "bandwidth=0"),
        (impair, (), {"delay": 1, "between": first}, "does not name two"),
        (impair, (), {"delay": 1, "between": (first, "node9")}, "'node9'"),
    ]
    for method, arguments, keywords, said in wrong:
        with pytest.raises(UserError, match=said) as caught:
            method(*arguments, **keywords)
        assert caught.value.cure
        assert vcluster.faults == []
    assert unreachable(vcluster) == []


@network
def test_a_fault_tells_what_it_is(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    vcluster.partition(first, {"node2"})
    vcluster.drop_traffic({second}, "outside")
    vcluster.impair(delay=0.01, loss=0.001, bandwidth=1e6, between=([first, third], "node2"))
    third.isolate(outside=True)
    assert [fault.what for fault in vcluster.faults] == [
        "the network is cut: node1.vc | node2.vc | node3.vc",
        "nothing gets through from node2.vc to outside",
        "0.01 s of delay, 0.001 of frames lost, 1e+06 bytes a second between node1.vc, node3.vc and node2.vc",
        "node3.vc is cut off, from outside, too",
    ]
    for node in (second, third):
        with pytest.raises(OSError, match="timed out"):
            node.boot_node.site.network.connect(node.ip, 1811, 0.5)
    vcluster.heal()
    assert vcluster.faults == []
    assert unreachable(vcluster) == []


@pytest.mark.vcluster(engine="loopback", nodes=1)
def test_on_loopback_they_are_refused_by_name(vcluster: VirtualCluster) -> None:
    node = vcluster.master
    refused: list[tuple[Callable[[], Fault], str]] = [
        (lambda: vcluster.partition({node}), r"partition\(\)"),
        (node.isolate, r"isolate\(\)"),
        (lambda: vcluster.drop_traffic(node), r"drop_traffic\(\)"),
        (lambda: vcluster.impair(delay=1), r"impair\(\)"),
    ]
    for attempt, name in refused:
        with pytest.raises(EngineUnavailable, match=f"engine 'loopback' cannot do {name}") as caught:
            attempt()
        assert "needs=" in caught.value.cure
        assert vcluster.faults == []
