"""Files go to all nodes: those that Ganeti distributes itself, and those that an admin copies."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from tests.rows.refusals import refusal
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))


def file_problems(cluster: VirtualCluster) -> dict[str, str]:
    """Give what `gnt-cluster verify` has to say of files, by the path on the node."""
    root = str(cluster.master.root)
    found = {}
    for problem in cluster.verify():
        if problem.code == "ECLUSTERFILECHECK":
            path, said = problem.message.removeprefix("File ").split(maxsplit=1)
            found[path.removeprefix(root)] = said
    return found


@shows(
    "file upload",
    "files that differ or are missing are noticed, and distributed anew",
    because=("own-hosts-file",),
)
def test_files_that_differ_are_distributed_anew(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    secret = "/var/lib/ganeti/cluster-domain-secret"
    second.path(secret).chmod(0o600)
    second.path(secret).write_text("another\n", encoding="ascii")
    third.path("/etc/hosts").unlink()
    found = file_problems(vcluster)
    assert set(found) == {"/etc/hosts", secret}
    assert found["/etc/hosts"] == "is missing from node(s) node3.vc"
    assert found[secret].startswith("found with 2 different checksums (variant 1 on node")

    vcluster.run("gnt-cluster", "redist-conf")

    assert vcluster.verify() == []
    for path in (secret, "/etc/hosts"):
        assert len({node.path(path).read_bytes() for node in vcluster.nodes}) == 1
    assert second.path(secret).stat().st_mode & 0o777 == first.path(secret).stat().st_mode & 0o777


@shows(
    "file upload",
    "an admin copies files, and runs commands, on all nodes or on some",
    because=("writable-targets",),
)
def test_copies_and_commands(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    inner = "/etc/ganeti/of-the-admin"
    first.path(inner).write_text("one\n", encoding="ascii")
    first.path(inner).chmod(0o400)
    vcluster.run("gnt-cluster", "copyfile", first.seen_path(inner))
    assert [node.path(inner).read_text(encoding="ascii") for node in vcluster.nodes] == ["one\n"] * 3
    assert third.path(inner).stat().st_mode & 0o777 == 0o400
    first.path(inner).unlink()
    first.path(inner).write_text("two\n", encoding="ascii")
    vcluster.run("gnt-cluster", "copyfile", "--node=node2", first.seen_path(inner))
    assert [node.path(inner).read_text(encoding="ascii") for node in (second, third)] == ["two\n", "one\n"]
    assert "No such filename" in refusal(vcluster, "gnt-cluster", "copyfile", first.seen_path("/etc/nosuch"))
    if vcluster.engine == "loopback":
        # Files of the machine are no node's.
        assert "is not below node root" in refusal(vcluster, "gnt-cluster", "copyfile", "/etc/passwd")

    told = vcluster.run("gnt-cluster", "command", "-M", f'cat "$GANETI_ROOTDIR{inner}"; hostname; exit 3')

    assert [line for line in told.lines if ":" in line or "=" in line] == [
        line
        for name, text in (("node2.vc", "two"), ("node3.vc", "one"), ("node1.vc", "two"))
        for line in (f"{name}: {text}", f"{name}: {name}", "return code = 3")
    ]
    assert vcluster.run("gnt-cluster", "command", "--node=node3", "hostname").lines[2] == "node3.vc"


@shows("file upload", "nodes that are dead or offline are told of or left out, and get the files later")
def test_dead_and_offline_nodes(vcluster: VirtualCluster) -> None:
    first, _second, third = vcluster.nodes
    inner = "/etc/ganeti/of-the-admin"
    first.path(inner).write_text("one\n", encoding="ascii")
    third.power_off()
    port = vcluster.parts.site.ssh_port
    told = vcluster.run("gnt-cluster", "redist-conf")
    assert "/etc/hosts to node node3.vc failed: Error 7: Failed to connect to" in told.stdout
    told = vcluster.run("gnt-cluster", "copyfile", first.seen_path(inner))
    assert f"Copy of file {first.seen_path(inner)} to node node3.vc:{port} failed" in told.stderr
    assert not third.path(inner).exists()

    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    with first.path("/etc/hosts").open("a", encoding="ascii") as stream:
        stream.write("192.0.2.1 printer\n")
    assert vcluster.run("gnt-cluster", "redist-conf").stdout == ""
    for argv in (("copyfile", first.seen_path(inner)), ("command", "true")):
        told = vcluster.run("gnt-cluster", *argv)
        assert "Note: skipping offline node(s): node3.vc" in told.stderr

    third.power_on()
    vcluster.run("gnt-node", "modify", "--force", "--offline=no", "node3")
    vcluster.run("gnt-cluster", "redist-conf")
    assert "printer" in third.path("/etc/hosts").read_text(encoding="ascii")
    assert vcluster.verify() == []
