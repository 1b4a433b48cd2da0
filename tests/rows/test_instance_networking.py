"""Row "instance networking": NICs in Ganeti's books, networks with pools of addresses, and declared bridges."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed
from tests.live.effects import running_on
from tests.rows.showing import shows

ROW = "instance networking"
BRIDGES = ("declared-bridges",)


def nics(instance: VirtualInstance, *fields: str) -> list[tuple[Any, ...]]:
    """Give fields of all NICs, such as "ips", NIC by NIC."""
    return list(zip(*(instance.field(f"nic.{field}") for field in fields)))


def add_network(cluster: VirtualCluster, name: str, *options: str) -> None:
    """Make a network of a few addresses, in which NICs are bridged to br1."""
    cluster.run("gnt-network", "add", *options, name)
    cluster.run("gnt-network", "connect", "-N", "mode=bridged,link=br1", name, "default")


def map_of(cluster: VirtualCluster, name: str) -> str:
    """Give the map of a network's addresses: X for one in use."""
    return str(cluster.luxi.query("network", ["map"], ["=", "name", name]).rows[0]["map"])


@shows(ROW, "NICs are bridged, routed or on an Open vSwitch, or there are none", because=BRIDGES)
def test_modes(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance(
        "one",
        primary="node2",
        nics=[
            {},
            {"link": "br1"},
            {"mode": "routed", "link": "100", "ip": "192.0.2.7"},
            {"mode": "openvswitch", "link": "switch1", "vlan": "100"},
        ],
    )
    assert nics(instance, "modes", "links", "bridges", "ips", "vlans") == [
        ("bridged", "br0", "br0", None, None),
        ("bridged", "br1", "br1", None, None),
        ("routed", "100", None, "192.0.2.7", None),
        ("openvswitch", "switch1", None, None, ".100"),
    ]
    assert vcluster.add_instance("two", primary="node2").field("nic.count") == 0
    assert vcluster.verify() == []
    for nic, told in (
        ({"mode": "routed"}, "Routed nic mode requires an ip address"),
        ({"mode": "nonsense"}, "Invalid NIC mode 'nonsense'"),
        ({"ip": "not-an-address"}, "Invalid IP address 'not-an-address'"),
    ):
        with pytest.raises(JobFailed, match=told):
            vcluster.add_instance("three", primary="node2", nics=[nic])


@shows(ROW, "a bridge is there where a node declares it, and is missed elsewhere", because=BRIDGES)
def test_bridges_are_what_each_node_declares(vcluster: VirtualCluster) -> None:
    second, third = vcluster.nodes[1:]
    assert second.bridges == ["br0", "br1"]
    second.bridges = ["br0", "br1", "lab"]
    with pytest.raises(JobFailed, match=r"destination node 'node3.vc': Missing bridges lab"):
        vcluster.add_instance("one", primary=third, nics=[{"link": "lab"}])
    instance = vcluster.add_instance("one", primary=second, nics=[{"link": "lab"}])
    for go in (instance.migrate, instance.failover):
        with pytest.raises(JobFailed, match=r"destination node 'node3.vc': Missing bridges lab"):
            go(third)
    assert {(one.code, one.item) for one in vcluster.verify()} == {
        ("ENODENET", "node1.vc"),
        ("ENODENET", "node3.vc"),
    }

    third.bridges = [*third.bridges, "lab"]
    instance.migrate(third)
    assert running_on(vcluster, "one.vc") == ["node3.vc"]
    # It goes away under a running instance, which only its next start finds.
    third.bridges = ["br0"]
    instance.stop()
    with pytest.raises(JobFailed, match="Missing bridges lab"):
        instance.start()
    with pytest.raises(JobFailed, match="Missing bridges br1"):
        instance.modify_nic(link="br1")
    instance.modify_nic(link="br0")
    instance.start()


@shows(ROW, "a network's pool gives addresses, keeps reserved ones, and is exhausted", because=BRIDGES)
def test_pool_of_a_network(vcluster: VirtualCluster) -> None:
    add_network(
        vcluster, "lan", "--network=192.0.2.0/29", "--gateway=192.0.2.1", "--add-reserved-ips=192.0.2.6",
        "--mac-prefix=aa:bb:cc",
    )  # fmt: skip
    assert map_of(vcluster, "lan") == "XX....XX"
    pooled = {"network": "lan", "ip": "pool"}
    one = vcluster.add_instance("one", primary="node2", nics=[pooled])
    assert nics(one, "ips", "links", "networks.names") == [("192.0.2.2", "br1", "lan")]
    assert one.field("nic.macs")[0].startswith("aa:bb:cc:")
    two = vcluster.add_instance("two", primary="node2", nics=[{"network": "lan", "ip": "192.0.2.4"}])
    assert map_of(vcluster, "lan") == "XXX.X.XX"

    for nic in ("192.0.2.4", "192.0.2.6", "198.51.100.1"):
        with pytest.raises(JobFailed, match=f"{nic} already in use or does not belong to network lan"):
            vcluster.add_instance("three", primary="node2", nics=[{"network": "lan", "ip": nic}])
    with pytest.raises(
        JobFailed, match=r"192\.0\.2\.3\) belongs to network lan, but the target NIC does not"
    ):
        vcluster.add_instance("three", primary="node2", nics=[{"ip": "192.0.2.3"}])
    with pytest.raises(JobFailed, match="Unable to get a free IP for NIC 2 from the address pool"):
        vcluster.add_instance("three", primary="node2", nics=[pooled] * 3)
    three = vcluster.add_instance("three", primary="node2", nics=[pooled] * 2)
    assert map_of(vcluster, "lan") == "XXXXXXXX"

    with pytest.raises(CommandFailed, match="Conflicting IP addresses found"):
        vcluster.run("gnt-network", "disconnect", "lan", "default")
    with pytest.raises(CommandFailed, match="Network still connected"):
        vcluster.run("gnt-network", "remove", "lan")
    vcluster.run("gnt-network", "modify", "--remove-reserved-ips=192.0.2.6", "lan")
    one.add_nic(**pooled)
    assert nics(one, "ips")[1] == ("192.0.2.6",)
    assert vcluster.verify() == []
    for instance in (one, two, three):
        instance.remove()
    assert map_of(vcluster, "lan") == "XX.....X"
    vcluster.run("gnt-network", "disconnect", "lan", "default")
    vcluster.run("gnt-network", "remove", "lan")
    assert vcluster.luxi.query("network", ["name"]).rows == []


@shows(ROW, "conflicts with a network are looked for unless told otherwise", because=BRIDGES)
def test_conflicts_with_a_network(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node2", nics=[{"ip": "192.0.2.4"}])
    vcluster.run("gnt-network", "add", "--network=192.0.2.0/28", "lan")
    with pytest.raises(CommandFailed, match="Desired network name 'lan' already exists"):
        vcluster.run("gnt-network", "add", "--network=198.51.100.0/24", "lan")
    with pytest.raises(CommandFailed, match="Conflicting IP addresses found"):
        vcluster.run("gnt-network", "connect", "-N", "mode=bridged,link=br1", "lan", "default")
    vcluster.run(
        "gnt-network", "connect", "--no-conflicts-check", "-N", "mode=openvswitch,link=ovs7", "lan", "default"
    )
    with pytest.raises(JobFailed, match=r"belongs to network lan, but the target NIC does not"):
        instance.add_nic(ip="192.0.2.5")
    other = vcluster.add_instance("two", primary="node2", nics=[{"ip": "192.0.2.5"}], conflicts_check=False)
    assert nics(other, "ips", "networks.names") == [("192.0.2.5", None)]
    # The NIC gets the network's mode and link with its network.
    instance.modify_nic(network="lan", ip="192.0.2.6")
    assert nics(instance, "ips", "modes", "links", "networks.names") == [
        ("192.0.2.6", "openvswitch", "ovs7", "lan")
    ]
    instance.modify_nic(network="none", ip="none")
    assert nics(instance, "ips", "networks.names") == [(None, None)]
    assert map_of(vcluster, "lan") == "X..............X"


@shows(
    ROW,
    "MACs are made with the cluster's prefix, none twice, and one that is taken is refused",
    because=BRIDGES,
)
def test_macs(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node2", nics=[{}] * 4)
    made = instance.field("nic.macs")
    assert len(set(made)) == 4
    prefix = vcluster.luxi.query_cluster_info()["mac_prefix"]
    assert all(re.fullmatch(prefix + "(:[0-9a-f]{2}){3}", mac) for mac in made)

    with pytest.raises(JobFailed, match=f"MAC address {made[0]} already in use in cluster"):
        vcluster.add_instance("two", primary="node2", nics=[{"mac": made[0]}])
    with pytest.raises(JobFailed, match=f"MAC address '{made[0]}' already in use in cluster"):
        instance.modify_nic(1, mac=made[0])
    with pytest.raises(JobFailed, match="Invalid MAC address 'nonsense'"):
        instance.modify_nic(mac="nonsense")
    instance.modify_nic(mac="aa:bb:cc:dd:ee:ff")
    vcluster.run("gnt-cluster", "modify", "--mac-prefix=ee:ee:ee")
    instance.add_nic()
    instance.remove_nic(1)
    macs = instance.field("nic.macs")
    assert macs[:3] == ["aa:bb:cc:dd:ee:ff", *made[2:]]
    assert macs[3].startswith("ee:ee:ee:")
    with pytest.raises(CommandFailed, match="Invalid MAC address"):
        vcluster.run("gnt-cluster", "modify", "--mac-prefix=nonsense")
    assert vcluster.verify() == []


@shows(
    ROW,
    "an address is refused that a living node has, and one that nobody has is not",
    because=("truthful-ping",),
)
def test_address_that_is_alive(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    with pytest.raises(JobFailed, match=f"IP {node.ip} of instance node2.vc already in use"):
        vcluster.add_instance("node2", primary="node1", ip_check=True)
    # Refuses connections as any loopback address does, which Ganeti would take for a sign of life.
    instance = vcluster.add_instance("free", primary="node1", ip_check=True, start=False)
    for name in ("back", "free"):
        instance.rename(name, ip_check=True)
    with pytest.raises(JobFailed, match=f"IP {node.ip} of instance node2.vc already in use"):
        instance.rename("node2", ip_check=True)


@pytest.mark.only_on("loopback", "nobody is told there that an instance runs, which itself answers to nobody")
@shows(ROW, "an address is refused that a running instance has", because=("truthful-ping",))
def test_address_of_a_running_instance(vcluster: VirtualCluster) -> None:
    address = vcluster.add_name("later")
    guest = vcluster.add_instance("guest", primary="node2", nics=[{"ip": address}])
    with pytest.raises(JobFailed, match=f"IP {address} of instance later.vc already in use"):
        vcluster.add_instance("later", primary="node1", ip_check=True)
    guest.stop()
    vcluster.add_instance("later", primary="node1", ip_check=True)


@shows(ROW, "bridges of an offline node are not asked for", because=BRIDGES)
def test_bridges_of_an_offline_node(vcluster: VirtualCluster) -> None:
    vcluster.node("node3").bridges = []
    assert {(one.code, one.item) for one in vcluster.verify()} == {("ENODENET", "node3.vc")}
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    assert vcluster.verify() == []
    instance = vcluster.add_instance("one", primary="node2", nics=[{}])
    with pytest.raises(JobFailed, match=r"node3.vc: Node is marked offline"):
        instance.migrate("node3")
