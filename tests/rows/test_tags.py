"""Tags: on everything that can have some, found, told to all nodes, and refused where they are none."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed, LuxiError
from tests.rows.queue_jobs import PATIENCE, until
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3)

_KINDS = {
    "gnt-cluster": ("cluster", ""),
    "gnt-group": ("nodegroup", "default"),
    "gnt-node": ("node", "node2.vc"),
    "gnt-instance": ("instance", "instance1.vc"),
    "gnt-network": ("network", "net1"),
}


@shows("tags", "tags of cluster, node group, node, instance and network are added, listed, found and removed")
@shows("tags", "commands, LUXI and RAPI see the same tags")
def test_tags_of_everything(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-network", "add", "--network=192.0.2.0/24", "net1")
    vcluster.add_instance("instance1", start=False)
    for command, (kind, name) in _KINDS.items():
        which = [name] if name else []
        vcluster.run(command, "add-tags", *which, "rack:7", f"of-{kind}")
        assert sorted(vcluster.run(command, "list-tags", *which).lines) == [f"of-{kind}", "rack:7"]
        assert sorted(vcluster.luxi.query_tags(kind, name)) == [f"of-{kind}", "rack:7"]

    assert vcluster.run("gnt-cluster", "search-tags", "^rack").lines == [
        "/cluster rack:7",
        "/instances/instance1.vc rack:7",
        "/network/net1 rack:7",
        "/nodegroup/default rack:7",
        "/nodes/node2.vc rack:7",
    ]
    assert sorted(vcluster.rapi.get("instances/instance1.vc/tags")) == ["of-instance", "rack:7"]
    assert vcluster.luxi.query("node", ["name"], ["=[]", "tags", "rack:7"]).rows == [{"name": "node2.vc"}]

    vcluster.run("gnt-node", "remove-tags", "node2", "rack:7")
    rapi = vcluster.rapi
    rapi.wait_job(rapi.delete("instances/instance1.vc/tags", tag=["rack:7"]), PATIENCE)
    assert vcluster.luxi.query_tags("node", "node2.vc") == ["of-node"]
    assert vcluster.luxi.query_tags("instance", "instance1.vc") == ["of-instance"]
    assert vcluster.run("gnt-cluster", "search-tags", "nothing-like-it", check=False).returncode == 1


@shows("tags", "a word that is no tag, too many of them, and an object that there is not are refused")
def test_what_is_no_tag(vcluster: VirtualCluster) -> None:
    def change(op_id: str, *tags: str, kind: str = "cluster", name: str | None = None) -> None:
        op = {"OP_ID": op_id, "kind": kind, "name": name, "tags": list(tags)}
        vcluster.submit(op).wait(PATIENCE)

    with pytest.raises(JobFailed, match="Tag contains invalid characters"):
        change("OP_TAGS_SET", "two words")
    with pytest.raises(JobFailed, match=r"Tag too long \(>128 characters\)"):
        change("OP_TAGS_SET", "x" * 129)
    with pytest.raises(JobFailed, match="Tags cannot be empty"):
        change("OP_TAGS_SET", "")
    with pytest.raises(JobFailed, match=r"Tag\(s\) 'gone' not found"):
        change("OP_TAGS_DEL", "gone")
    with pytest.raises((JobFailed, LuxiError), match="node9"):
        change("OP_TAGS_SET", "rack", kind="node", name="node9")
    result = vcluster.run("gnt-cluster", "search-tags", "[", check=False)
    assert result.returncode == 1
    assert "Invalid search pattern '['" in result.stderr
    assert vcluster.luxi.query_tags("cluster") == []


@shows("tags", "the cluster's tags are told to every node, and later to one whose node daemon was dead")
def test_tag_while_a_node_is_dead(vcluster: VirtualCluster) -> None:
    def known_to(node: str) -> list[str]:
        return vcluster.node(node).path("/var/lib/ganeti/ssconf_cluster_tags").read_text("utf-8").split()

    dead = vcluster.node("node3")
    dead.run("daemon-util", "stop", "ganeti-noded")
    vcluster.run("gnt-cluster", "add-tags", "late")
    # The configuration daemon may tell the nodes after the job has ended.
    until(lambda: known_to("node2") == ["late"], "node2 knows the tag")
    assert known_to("node3") == []

    dead.run("daemon-util", "start", "ganeti-noded")
    vcluster.run("gnt-cluster", "redist-conf")
    until(lambda: known_to("node3") == ["late"], "node3 knows the tag")


@pytest.mark.slow
@shows(
    "tags", "a letter that is not ASCII makes Ganeti's configuration daemon answer what its jobs cannot read"
)
def test_tag_with_a_letter_that_ganeti_takes_and_cannot_bear(vcluster: VirtualCluster) -> None:
    # Python's "\\w" takes it for a letter (lib/objects.py, VALID_TAG_RE). The Haskell daemons read UTF-8, and write to
    # a handle that is binary, which cuts every character down to 8 bits (src/Ganeti/UDSServer.hs, sendMsg: hPutStr).
    result = vcluster.run("gnt-cluster", "add-tags", "caf\u00e9", check=False)
    assert result.returncode
    assert "'utf-8' codec can't decode byte 0xe9" in result.stdout + result.stderr
    assert vcluster.reset().how == "restored"
    vcluster.run("gnt-cluster", "add-tags", "cafe")
    assert vcluster.luxi.query_tags("cluster") == ["cafe"]
