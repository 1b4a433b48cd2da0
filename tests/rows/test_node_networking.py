"""Addresses: which are alive, which node holds the master IP, and nodes with two of them."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from tests.rows.networks import lose_master_ip, replace_secondary_ip
from tests.rows.recorded import calls, recording
from tests.rows.refusals import refusal
from tests.rows.showing import shows
from tests.versions import checks

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

ADD = ("gnt-instance", "add", "--disk-template=diskless", "--os-type=dd+default", "--node=node1")


def problems(cluster: VirtualCluster, code: str) -> dict[str, str]:
    """Give what `gnt-cluster verify` has to say of nodes under a code, by node."""
    return {problem.item: problem.message for problem in cluster.verify() if problem.code == code}


@shows(
    "node networking",
    "an address is alive while a node, the master or a running instance has it",
    because=("truthful-ping",),
)
def test_address_is_alive_while_somebody_has_it(vcluster: VirtualCluster) -> None:
    other = vcluster.add_name("other")
    for name in ("node2", "cluster"):
        told = refusal(vcluster, *ADD, *checks(vcluster), name)
        assert f"of instance {name}.vc already in use" in told
    # The name is checked, and so is its address.
    vcluster.run(*ADD, *checks(vcluster), f"--net=0:ip={other}", "instance1")

    # Nobody answers for an instance of the fake hypervisor where addresses are those of interfaces.
    for name in ("instance1", "other") if vcluster.engine == "loopback" else ():
        told = refusal(vcluster, "gnt-cluster", "rename", "--force", name)
        assert "is reachable on the network" in told
    vcluster.run("gnt-instance", "shutdown", "instance1")
    vcluster.run("gnt-cluster", "rename", "--force", "other")

    assert vcluster.run("gnt-cluster", "info").lines[0] == "Cluster name: other.vc"
    assert (
        vcluster.master.path("/var/lib/ganeti/ssconf_master_ip").read_text(encoding="ascii").strip() == other
    )
    assert "of instance other.vc already in use" in refusal(vcluster, *ADD, *checks(vcluster), "other")


@shows(
    "node networking",
    "a node that has crashed has its address still, one that is off has none",
    because=("truthful-ping",),
)
def test_address_of_a_node_that_is_off(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    node.crash()
    assert f"IP {node.ip} of instance node2.vc already in use" in refusal(
        vcluster, *ADD, *checks(vcluster), "node2"
    )
    node.power_off()
    vcluster.run(*ADD, *checks(vcluster), "node2")
    assert [instance.name for instance in vcluster.instances] == ["node2.vc"]


@shows("node networking", "the master IP is missed where it is not up", because=("truthful-ping",))
def test_lost_master_ip(vcluster: VirtualCluster) -> None:
    lose_master_ip(vcluster)
    assert problems(vcluster, "ENODENET") == {
        "node1.vc": "the master node cannot reach the master IP (not configured?)",
        "node2.vc": "cannot reach the master IP",
        "node3.vc": "cannot reach the master IP",
    }
    vcluster.run("gnt-cluster", "activate-master-ip")
    assert vcluster.verify() == []


def own_script(node: VirtualNode, then: str) -> None:
    """Give a node a `master-ip-setup` of its own."""
    script = node.path("/etc/ganeti/scripts/master-ip-setup")
    script.write_text(recording("master-ip", then), encoding="utf-8")
    script.chmod(0o755)


@shows(
    "node networking",
    "an admin's own script sets the master IP up",
    because=("command-environment", "truthful-ping"),
)
def test_script_of_ones_own(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    for node in vcluster.nodes:
        own_script(node, f'exec "{vcluster.parts.farm.lib}/tools/master-ip-setup" "$@"')
    vcluster.run("gnt-cluster", "modify", "--use-external-mip-script=yes")

    second.run("gnt-cluster", "master-failover")

    assert [call["ARGUMENTS"] for call in calls(first, "master-ip")] == ["stop"]
    [call] = calls(second, "master-ip")
    assert call["ARGUMENTS"] == "start"
    assert {
        name: call[name] for name in ("MASTER_IP", "MASTER_NETDEV", "MASTER_NETMASK", "CLUSTER_IP_VERSION")
    } == {
        "MASTER_IP": vcluster.ip,
        "MASTER_NETDEV": vcluster.parts.site.master_netdev,
        "MASTER_NETMASK": "32",
        "CLUSTER_IP_VERSION": "4",
    }
    assert calls(third, "master-ip") == []
    assert [node.holds_master_ip for node in vcluster.nodes] == [False, True, False]
    # Ganeti's own fault: it wants to distribute the script (lib/cmdlib/common.py, ComputeAncillaryFiles), and its nodes
    # do not allow that (lib/backend.py, _BuildUploadFileList).
    told = vcluster.run("gnt-cluster", "redist-conf")
    assert (
        "master-ip-setup to node node1.vc failed: Filename passed to UploadFile not in allowed" in told.stdout
    )


@pytest.mark.slow
@shows("node networking", "a cluster works on where its master IP cannot be set up")
def test_script_that_fails(vcluster: VirtualCluster) -> None:
    second = vcluster.node("node2")
    for node in vcluster.nodes:
        own_script(node, "exit 1")
    vcluster.run("gnt-cluster", "modify", "--use-external-mip-script=yes")
    lose_master_ip(vcluster)
    told = refusal(second, "gnt-cluster", "master-failover")
    assert "The master IP did not come up within 30 seconds" in told
    assert vcluster.master is second
    assert vcluster.run("gnt-instance", "list").returncode == 0
    assert vcluster.luxi.query_cluster_info()["master"] == second.name
    assert not any(node.holds_master_ip for node in vcluster.nodes)


@pytest.mark.vcluster(nodes=2, secondary_ips=True)
@shows(
    "node networking",
    "nodes have a secondary IP address each, and are asked whether they have it",
    because=("truthful-ping", "truthful-own"),
)
def test_two_networks(vcluster: VirtualCluster) -> None:
    first, second = vcluster.nodes
    assert vcluster.run("gnt-node", "list", "--no-headers", "-o", "name,pip,sip").lines == [
        f"{node.name} {node.ip} {node.secondary_ip}" for node in vcluster.nodes
    ]
    spare = vcluster.parts.site.lease.spare_ips[0]
    for address in (first.secondary_ip, spare):
        told = refusal(vcluster, "gnt-node", "modify", f"--secondary-ip={address}", "node2")
        assert f"Node claims it doesn't have the secondary ip you gave ({address})" in told
    assert vcluster.verify() == []

    replace_secondary_ip(second, spare)
    vcluster.run("gnt-node", "modify", f"--secondary-ip={spare}", "node2")
    assert vcluster.verify() == []

    # Ganeti asks for the secondary address only where the primary one does not answer (lib/backend.py,
    # VerifyNodeNetTest), which seems to be a matter of indentation.
    second.power_off()
    assert problems(vcluster, "ENODENET")[first.name] == (
        "tcp communication with node 'node2.vc': failure using the primary and secondary interface(s)"
    )
