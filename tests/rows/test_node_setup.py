"""What Ganeti sets up on a node that joins: ssh keys and the hosts file, the node's own and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from tests.rows.refusals import refusal
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=2)

ADD = ("gnt-node", "add", "--no-ssh-key-check")


def of_the_machine() -> dict[str, bytes]:
    """Give what the machine's hosts file, its ssh and this user's ssh are made of, as far as one may read it."""
    paths = [Path("/etc/hosts"), *Path("/etc/ssh").rglob("*"), *(Path.home() / ".ssh").rglob("*")]
    found = {}
    for path in paths:
        try:
            found[str(path)] = path.read_bytes()
        except OSError:
            found[str(path)] = repr(path.lstat()).encode()
    return found


@pytest.fixture(autouse=True)
def _the_machine_is_left_alone() -> Iterator[None]:
    before = of_the_machine()
    yield
    assert of_the_machine() == before


def names_in_hosts(node: VirtualNode) -> list[str]:
    """Give the names in a node's hosts file."""
    lines = node.path("/etc/hosts").read_text(encoding="ascii").splitlines()
    return [line.split()[1] for line in lines]


def names_of_fresh(cluster: VirtualCluster, node: VirtualNode) -> list[str]:
    """Give the names in the hosts file of a machine that was just installed; its own is there on a real one."""
    return ["localhost", node.name] if cluster.parts.site.has_machines else ["localhost"]


def keys(node: VirtualNode) -> set[str]:
    """Give the keys that may log in to a node."""
    return set(node.path("/root/.ssh/authorized_keys").read_text(encoding="ascii").splitlines())


def own_key(node: VirtualNode) -> str:
    """Give the key that Ganeti has made for a node."""
    return node.path("/root/.ssh/id_rsa.pub").read_text(encoding="ascii").strip()


@shows(
    "node setup",
    "Ganeti makes keys for nodes and distributes those of master candidates",
    because=("ssh-host-keys", "remote-public-keys"),
)
def test_ssh_that_ganeti_sets_up(vcluster: VirtualCluster) -> None:
    first, second = vcluster.nodes
    assert own_key(first) != own_key(second)
    third = vcluster.add_node()
    everyone = {own_key(node) for node in vcluster.nodes}
    assert len(everyone) == 3
    for node in vcluster.nodes:
        assert everyone <= keys(node)
    reached = third.run("ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", second.name, "hostname")
    assert reached.lines == [second.name]

    vcluster.run("gnt-node", "modify", "--master-candidate=no", second.name)

    assert [own_key(second) in keys(node) for node in (first, second, third)] == [False, True, False]
    assert "Permission denied" in refusal(
        second, "ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oIdentityFile=~/.ssh/id_rsa", third.name,
        "-oIdentitiesOnly=yes", "hostname",
    )  # fmt: skip
    vcluster.run("gnt-node", "modify", "--master-candidate=yes", second.name)
    assert all(everyone <= keys(node) for node in vcluster.nodes)
    assert vcluster.verify() == []


@pytest.mark.vcluster(nodes=2, init_options=("--no-ssh-init", "--no-etc-hosts"))
@shows("node setup", "an admin sets ssh and names up, and Ganeti does not")
def test_ssh_that_an_admin_sets_up(vcluster: VirtualCluster) -> None:
    before = keys(vcluster.master)
    node = vcluster.add_node()
    for one in vcluster.nodes:
        assert not one.path("/root/.ssh/id_rsa").exists()
        assert not one.path("/var/lib/ganeti/ganeti_pub_keys").exists()
        assert keys(one) == before
        assert names_in_hosts(one) == names_of_fresh(vcluster, one)
    told = vcluster.run("gnt-cluster", "command", "-M", "hostname").lines
    assert {f"{one.name}: {one.name}" for one in vcluster.nodes} <= set(told)
    assert vcluster.verify() == []
    # A node that does not let the others in is an admin's own mistake.
    node.path("/root/.ssh/authorized_keys").write_text("", encoding="ascii")
    assert {problem.code for problem in vcluster.verify()} == {"ENODESSH"}


@shows("node setup", "the nodes' hosts files are kept up to date, or left alone", because=("own-hosts-file",))
def test_hosts_files(vcluster: VirtualCluster) -> None:
    two = ["localhost", "node1.vc", "node2.vc"]
    assert [names_in_hosts(node) for node in vcluster.nodes] == [two, two]
    third = vcluster.add_node(join=False)
    assert names_in_hosts(third) == names_of_fresh(vcluster, third)
    vcluster.run(*ADD, third.name)
    assert [names_in_hosts(node) for node in vcluster.nodes] == [[*two, third.name]] * 3
    line = f"{third.ip}\t{third.name} {third.name.split('.')[0]}"
    assert line in vcluster.master.path("/etc/hosts").read_text(encoding="ascii").splitlines()

    vcluster.run("gnt-cluster", "modify", "--modify-etc-hosts=no")

    vcluster.run("gnt-node", "remove", third.name)
    assert [names_in_hosts(node) for node in vcluster.nodes] == [[*two, third.name]] * 3
    # Nobody minds whether they are alike.
    vcluster.master.path("/etc/hosts").unlink()
    assert vcluster.verify() == []


@shows("node setup", "a hosts file that cannot be written is told of")
def test_hosts_file_that_cannot_be_written(vcluster: VirtualCluster) -> None:
    # Ganeti writes a new file beside the old one, which it cannot replace.
    machine = vcluster.add_node(join=False)
    hosts = vcluster.master.path("/etc/hosts")
    if vcluster.parts.site.has_machines:
        vcluster.run("mount", "--bind", "/etc/hosts", "/etc/hosts")
    else:
        hosts.unlink()
        hosts.mkdir()
    told = refusal(vcluster, *ADD, machine.name)
    assert "Can't update hosts file with new host data" in told
    if vcluster.parts.site.has_machines:
        vcluster.run("umount", "/etc/hosts")
    else:
        hosts.rmdir()
    assert vcluster.luxi.query("node", ["name"]).column("name") == ["node1.vc", "node2.vc"]
