"""Nodes are added over ssh, removed and added again, and what cannot be a node is refused."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from pytest_ganeti_vcluster.ganeti.verify import parse_verify, without_expected
from tests.rows.daemons import after_a_join
from tests.rows.networks import nobody_answers
from tests.rows.refusals import refusal
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

ADD = ("gnt-node", "add", "--no-ssh-key-check")


def roles(cluster: VirtualCluster) -> dict[str, str]:
    """Give what each node is in the cluster, as `gnt-node list` shows it: M, C, R, D or O, and its group."""
    lines = cluster.run("gnt-node", "list", "--no-headers", "-o", "name,role,group").lines
    found = {}
    for line in lines:
        name, rest = line.split(maxsplit=1)
        found[name] = rest
    return found


@shows(
    "node add",
    "a machine joins over ssh, leaves, and joins again",
    because=("remote-public-keys",),
)
def test_machine_joins_leaves_and_joins_again(vcluster: VirtualCluster) -> None:
    machine = vcluster.add_node(join=False)
    assert machine.daemons == {}
    assert machine.name not in roles(vcluster)

    vcluster.run(*ADD, machine.name)

    assert roles(vcluster)[machine.name] == "C default"
    assert set(machine.daemons) == after_a_join(vcluster)
    assert machine.voted_master == vcluster.master.name
    instance = vcluster.add_instance(primary=machine)
    assert instance.primary is machine
    assert vcluster.verify() == []
    told = refusal(vcluster, "gnt-node", "remove", machine.name)
    assert f"Instance {instance.name} is still running on the node" in told
    instance.remove()

    vcluster.run("gnt-node", "remove", machine.name)

    assert machine.name not in roles(vcluster)
    assert machine.daemons == {}
    assert not machine.path("/var/lib/ganeti/config.data").exists()
    assert machine.name not in vcluster.master.path("/etc/hosts").read_text(encoding="ascii")

    vcluster.run(*ADD, "--master-capable=no", machine.name)

    assert roles(vcluster)[machine.name] == "R default"
    assert set(machine.daemons) == after_a_join(vcluster)
    assert vcluster.verify() == []


@shows(
    "node add", "a node that has lost all its files is added again; its instances start, but for lost disks"
)
def test_emptied_node_is_added_again(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node3")
    vcluster.run("gnt-group", "add", "rack2")
    vcluster.run("gnt-group", "assign-nodes", "rack2", "node3")
    diskless = vcluster.add_instance(primary=node)
    on_file = vcluster.add_instance(primary=node, disk_template="file")
    node.power_off()
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    assert diskless.status == "ERROR_nodeoffline"

    node.reinstall()

    assert node.daemons == {}
    assert not list(node.path("/var/lib/ganeti").glob("ssconf_*"))
    vcluster.run(*ADD, "--readd", "node3")
    assert roles(vcluster)["node3.vc"] == "C rack2"
    assert diskless.status == "ERROR_down"
    diskless.start()
    assert diskless.status == "running"
    with pytest.raises(JobFailed, match="Disk consistency error"):
        on_file.start()
    assert {problem.item for problem in vcluster.verify()} == {on_file.name}


@pytest.mark.slow
@shows("node add", "a dead node is removed, and may come back as a new one")
def test_dead_node_is_removed(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    node.crash()
    told = vcluster.run("gnt-node", "remove", "node2")
    assert "Errors encountered on the remote node while leaving the cluster" in told.stdout + told.stderr
    assert vcluster.verify() == []
    # It has not heard of it, and is known to no one.
    assert node.voted_master == vcluster.master.name
    vcluster.run(*ADD, "node2")
    assert roles(vcluster)["node2.vc"] == "C default"
    assert vcluster.verify() == []


@shows("node add", "unknown names, addresses without a machine, names of nodes and wrong keys are refused")
def test_what_cannot_be_added(vcluster: VirtualCluster) -> None:
    vcluster.add_name("nobody")
    before, port = roles(vcluster), vcluster.parts.site.ssh_port
    for argv, told in (
        (("nosuch",), "The given name (nosuch) does not resolve"),
        (("nobody",), f"ssh: connect to host nobody.vc port {port}: "),
        (("node2",), "Node node2.vc already in the cluster (as node2.vc) - please retry with '--readd'"),
        (("--readd", "node1"), "Node node1.vc is the master, cannot readd"),
        (("--readd", "nobody"), "Node nobody.vc not in the cluster - please retry without '--readd'"),
    ):
        assert told in refusal(vcluster, *ADD, *argv)
    machine = vcluster.add_node(join=False)
    machine.path("/root/.ssh/authorized_keys").write_text("", encoding="ascii")
    assert "root@node4.vc: Permission denied (publickey)" in refusal(vcluster, *ADD, machine.name)
    machine.power_off()
    told = refusal(vcluster, *ADD, machine.name)
    assert f"port {port}: " in told
    assert nobody_answers(vcluster, told)
    # Nobody has said yes to its host key.
    assert "Host key verification failed" in refusal(vcluster, "gnt-node", "add", "--readd", "node3")
    assert roles(vcluster) == before
    assert vcluster.verify() == []


@shows(
    "node add",
    "the only node of another cluster is refused",
    because=("ordinary-loopback", "ssh-host-keys", "truthful-ping"),
)
def test_node_of_another_cluster(vcluster: VirtualCluster) -> None:
    machine = vcluster.add_node(join=False)
    vcluster.add_name("other")
    site = vcluster.parts.site
    machine.run(
        "gnt-cluster", "init", f"--master-netdev={site.master_netdev}", "--enabled-hypervisors=fake",
        "--nic-parameters=mode=routed", "--enabled-disk-templates=diskless", "--ssh-key-type=rsa",
        f"--node-parameters=ssh_port={site.ssh_port}", "other",
    )  # fmt: skip
    assert machine.run("gnt-node", "list", "--no-headers", "-o", "name,role").lines == ["node4.vc M"]
    before = roles(vcluster)

    assert "Current cluster name is 'other.vc'" in refusal(vcluster, *ADD, machine.name)

    assert roles(vcluster) == before
    assert vcluster.master is vcluster.node("node1")
    verified = machine.run("gnt-cluster", "verify", "--error-codes", check=False)
    assert verified.returncode == 0 or vcluster.parts.site.has_machines
    assert without_expected(parse_verify(verified.stdout), vcluster.parts.expected_findings) == []
    # Nor may it take the address that the first cluster has.
    told = refusal(machine, "gnt-cluster", "rename", "--force", "cluster")
    assert f"The given cluster IP address ({vcluster.ip}) is reachable on the network" in told
