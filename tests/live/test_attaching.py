"""Several processes with a handle of one cluster: each can do everything, and sees what the others did."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import KeeperError, ResetFailed, SpecError
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.leaks import settle

_BEGIN = """
import json, sys
from pathlib import Path
from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
cluster = attach_cluster(Path(sys.argv[1]))
def tell(value):
    print(json.dumps(value), flush=True)
"""

_LOOK = """
tell({
    "name": cluster.name,
    "spec": str(cluster.spec),
    "nodes": [[node.name, node.ip, node.index, str(node.root)] for node in cluster.nodes],
    "master": cluster.master.name,
    "luxi": cluster.luxi.query_cluster_info()["name"],
    "rapi": cluster.rapi.get("/2/info")["name"],
    "command": cluster.run("gnt-node", "list", "--no-headers", "-o", "name").lines,
    "on a node": cluster.node("node2").run("hostname").stdout.strip(),
    "instance": cluster.add_instance("from-afar").name,
    "name added": cluster.add_name("anna"),
    "problems": [str(problem) for problem in cluster.verify()],
    "boot": [stage.name for stage in cluster.boot_stages],
})
cluster.instance("from-afar").remove()
"""

_ADD = """
node = cluster.add_node(memory=4096)
tell([node.name, node.index])
"""


class Other:
    """Another process that attaches to a cluster and runs a program on it."""

    def __init__(self, root: Path, program: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN + program, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate("\n", timeout=60)
        assert self._process.returncode == 0


def test_an_attached_handle_can_do_everything(cluster: VirtualCluster) -> None:
    other = Other(cluster.root, _LOOK)
    told = other.told()
    other.end()
    assert told["problems"] == []
    assert told["name"] == told["luxi"] == told["rapi"] == cluster.name
    assert told["spec"] == str(cluster.spec)
    assert told["nodes"] == [[node.name, node.ip, node.index, str(node.root)] for node in cluster.nodes]
    assert told["command"] == [node.name for node in cluster.nodes]
    assert told["on a node"] == cluster.node("node2").run("hostname").stdout.strip()
    assert told["instance"] == "from-afar.vc"
    assert told["name added"] == cluster.add_name("anna")
    assert told["boot"] == [stage.name for stage in cluster.boot_stages]
    # The other process has let go, and the cluster is still there.
    assert cluster.run("gnt-cluster", "getmaster").lines == [cluster.master.name]


def test_passwords_are_for_their_owner_only(cluster: VirtualCluster) -> None:
    description = cluster.root / "cluster.json"
    assert stat.S_IMODE(description.stat().st_mode) == 0o600
    assert cluster.rapi_access.password in description.read_text(encoding="utf-8")


def test_nodes_come_and_go_for_every_process(cluster: VirtualCluster) -> None:
    before = [node.name for node in cluster.nodes]
    numbers = {node.index for node in cluster.nodes}
    with attach_cluster(cluster.root) as attached:
        # Two processes at once: each gets a name and a number of its own.
        other = Other(cluster.root, _ADD)
        mine = cluster.add_node()
        name, index = other.told()
        other.end()
        assert mine.index != index
        assert not numbers & {mine.index, index}
        for handle in (cluster, attached):
            assert {node.name for node in handle.nodes} == {*before, mine.name, name}
            assert handle.node(name).index == index
        assert attached.node(name).run("gnt-node", "--version").returncode == 0
        assert cluster.node(name) is cluster.node(name)
        short = name.partition(".")[0]
        with pytest.raises(SpecError, match="has the name already"):
            attached.add_node(short)
        for one in (mine.name, name):
            attached.remove_node(one)
        assert [node.name for node in cluster.nodes] == before
        again = attached.add_node(short)
        assert again.index > max(mine.index, index)
        cluster.remove_node(name)
        assert [node.name for node in attached.nodes] == before
        assert cluster.verify() == []


def test_the_last_one_out_ends_the_cluster(vcluster_factory: ClusterFactory) -> None:
    cluster = vcluster_factory(nodes=1)
    root = cluster.root
    other = Other(
        root, "tell(cluster.name); sys.stdin.readline(); tell(cluster.run('gnt-cluster', 'getmaster').lines)"
    )
    assert other.told() == cluster.name
    with attach_cluster(root):
        cluster.detach()
    # Both handles of this process have let go; the other process has not.
    with attach_cluster(root) as attached:
        assert attached.name == cluster.name
        for handle in (attached, cluster):
            with pytest.raises(ResetFailed, match="others may be using it"):
                handle.reset()
    other.end()
    assert not settle(root.exists)
    with pytest.raises(KeeperError, match="never began, or the cluster has ended"):
        attach_cluster(root)
