"""Nodes that join in bulk are as nodes that joined by `gnt-node add`."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.cluster.state.state_files import is_not_state
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

# Two candidates, so that there are nodes of each role beside the two that join for real in either way; one of them may
# not become one.
_NODES = (*(NodeSpec() for _ in range(4)), NodeSpec(master_candidate=False))
_POOL = "--candidate-pool-size=3"

#: What differs between any two clusters, wherever it stands.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"([0-9A-F]{2}:){19}[0-9A-F]{2}")
_RSA = re.compile(r"AAAA[BC]3NzaC1[A-Za-z0-9+/=]+")
_ADDRESS = re.compile(r"127\.\d+\.\d+\.(\d+)")

#: Files of which only that they are there, and their modes, can be compared: keys, and what counts jobs.
_OPAQUE = re.compile(
    r".*\.pem|.*/(id_rsa|id_ed25519|ssh_host_rsa_key|hmac\.key|cluster-domain-secret|serial|rapi/users|cmd|ssh-command)"
    r"|.*/(config\.data|locks\.data|tempres\.data|vcluster-boot-id)|.*\.pub"
)
#: What only a join by ssh leaves, or a job: see docs/explanation/clean.rst.
_OF_JOBS = re.compile(r".*/etc/ssh/.*\.backup-.*|.*/queue/(job-\d+|archive/.*)|.*/var/log/.*")


def _obtained(join: str) -> VirtualCluster:
    return obtain_cluster(ClusterSpec(nodes=_NODES, init_options=(_POOL,), join=join), Settings.read())


@pytest.fixture(scope="module")
def joined() -> Iterator[VirtualCluster]:
    with _obtained("real") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def in_bulk() -> Iterator[VirtualCluster]:
    with _obtained("bulk") as cluster:
        yield cluster


def _config(cluster: VirtualCluster, node: str = "node1") -> dict[str, Any]:
    text = cluster.node(node).path("/var/lib/ganeti/config.data").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    return config


def _plain(cluster: VirtualCluster) -> dict[str, Any]:
    """Give its configuration with names for uuids and addresses, and without what differs between any two clusters."""
    config = _config(cluster)
    names = {uuid: f"uuid of {node['name']}" for uuid, node in config["nodes"].items()}
    # A set of Python's, in whatever order.
    config["cluster"]["ipolicy"]["disk-templates"].sort()
    text = json.dumps(config).replace(str(cluster.root), "")
    for uuid, name in names.items():
        text = text.replace(uuid, name)
    for pattern in (_UUID, _DIGEST, _RSA):
        text = pattern.sub(pattern.pattern[:8].replace("\\", ""), text)
    text = _ADDRESS.sub(r"address \1", text)
    dropped = {"ctime", "mtime", "serial_no"}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key not in dropped}
        return [without(one) for one in value] if isinstance(value, list) else value

    plain: dict[str, Any] = without(json.loads(text))
    return plain


def _files(cluster: VirtualCluster) -> dict[str, tuple[str, str]]:
    """Give mode and contents, as far as they can be compared, of all that makes up the state of the nodes."""
    names = {uuid: node["name"] for uuid, node in _config(cluster)["nodes"].items()}
    found = {}
    for node in cluster.nodes:
        for path in node.root.rglob("*"):
            inner = path.relative_to(cluster.root).as_posix()
            if not is_not_state(inner) and not _OF_JOBS.fullmatch(inner):
                found[inner] = _describe(path, inner, cluster.root, names)
    return found


def _describe(path: Path, inner: str, root: Path, names: dict[str, str]) -> tuple[str, str]:
    mode = stat.filemode(path.lstat().st_mode)
    if path.is_symlink():
        return mode, str(path.readlink()).replace(str(root), "")
    if not path.is_file() or _OPAQUE.fullmatch(inner):
        return mode, ""
    text = path.read_text(encoding="utf-8", errors="replace").replace(str(root), "")
    for uuid, name in names.items():
        text = text.replace(uuid, f"uuid of {name}")
    for pattern, word in ((_UUID, "uuid"), (_DIGEST, "digest"), (_RSA, "key"), (_ADDRESS, r"address \1")):
        text = pattern.sub(word, text)
    # Candidates come in the order of their uuids.
    return mode, "\n".join(sorted(text.splitlines())) if "ssconf_master_candidates" in inner else text


def test_the_configuration_is_the_same(joined: VirtualCluster, in_bulk: VirtualCluster) -> None:
    assert _plain(in_bulk) == _plain(joined)
    roles = [row["role"] for row in in_bulk.luxi.query("node", ["name", "role"]).rows]
    assert roles == ["M", "C", "C", "R", "R"]
    # A node's own serial number tells how often it was changed since it joined: not at all.
    assert {node["serial_no"] for node in _config(in_bulk)["nodes"].values()} == {1}


def test_candidates_have_the_configuration_and_no_others(in_bulk: VirtualCluster) -> None:
    copies = [node.path("/var/lib/ganeti/config.data") for node in in_bulk.nodes]
    assert [path.exists() for path in copies] == [True, True, True, False, False]
    assert len({path.read_bytes() for path in copies if path.exists()}) == 1


def test_the_files_of_all_nodes_are_the_same(joined: VirtualCluster, in_bulk: VirtualCluster) -> None:
    wanted, found = _files(joined), _files(in_bulk)
    assert sorted(found) == sorted(wanted)
    differing = {path: (found[path], wanted[path]) for path in wanted if found[path] != wanted[path]}
    assert not differing


def test_it_verifies_clean_and_takes_part_in_jobs(in_bulk: VirtualCluster) -> None:
    assert in_bulk.verify() == []
    names = in_bulk.run("gnt-cluster", "command", "hostname").stdout
    assert all(f"node: {node.name}\n{node.name}\n" in names for node in in_bulk.nodes)
    instance = in_bulk.add_instance(primary="node4", secondary=None)
    assert instance.status == "running"
    # Ganeti itself distributes to them, joins one more, and has one of them as the master.
    in_bulk.run("gnt-cluster", "redist-conf")
    in_bulk.add_node("node6")
    in_bulk.node("node3").run("gnt-cluster", "master-failover")
    assert in_bulk.master.name == "node3.vc"
    assert in_bulk.verify() == []
    in_bulk.reset()


def test_a_boot_tells_that_it_joined_nodes_in_bulk(in_bulk: VirtualCluster) -> None:
    assert str(in_bulk.spec) == "cluster of 5 nodes, joined in bulk"
    assert "joined in bulk" not in str(ClusterSpec(nodes=8))
    assert "joined in bulk" in str(ClusterSpec(nodes=9))
    assert "joined in bulk" not in str(ClusterSpec(nodes=9, join="real"))
