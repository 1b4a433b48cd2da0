"""What a test may ask for, and what it is told when it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.errors import SpecError


def test_a_number_of_nodes_becomes_that_many_named_nodes() -> None:
    assert [node.name for node in ClusterSpec(nodes=3).nodes] == ["node1", "node2", "node3"]


def test_nodes_without_a_name_are_named_by_their_place() -> None:
    spec = ClusterSpec(nodes=[NodeSpec(name="alpha"), NodeSpec(memory=4096)])
    assert [node.name for node in spec.nodes] == ["alpha", "node2"]
    assert spec.nodes[1].capacity == {"memory": 4096}


def test_equal_requests_are_equal_and_hash_alike() -> None:
    # Clusters are shared between tests by their spec.
    one = ClusterSpec(nodes=2, daemons=["confd"], disk_templates=["diskless"])
    other = ClusterSpec(nodes=[NodeSpec(), NodeSpec()], daemons=("confd",), disk_templates=("diskless",))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"nodes": 0}, "nodes=0"),
        ({"nodes": -1}, "nodes=-1"),
        ({"nodes": "x"}, "nodes='x'"),
        ({"nodes": True}, "nodes=True"),
        ({"nodes": 2.0}, "nodes=2.0"),
        ({"nodes": []}, "nodes=[]"),
        ({"nodes": 100_000}, "nodes=100000"),
        ({"nodes": [NodeSpec(name="a"), NodeSpec(name="a")]}, "nodes='a'"),
        ({"nodes": [NodeSpec(offline=True), NodeSpec()]}, "offline"),
        ({"nodes": [NodeSpec(master_candidate=False), NodeSpec()]}, "no master candidate"),
        ({"disk_templates": ["drbd"]}, "disk_templates='drbd'"),
        ({"disk_templates": "file"}, "disk_templates='file'"),
        ({"disk_templates": []}, "disk_templates"),
        ({"daemons": ["metad"]}, "daemons='metad'"),
        ({"engine": "docker"}, "engine='docker'"),
        ({"ganeti": " "}, "ganeti=' '"),
        ({"name": "Upper"}, "name='Upper'"),
        ({"name": "a.b"}, "name='a.b'"),
        ({"init_options": "--x"}, "init_options='--x'"),
        ({"needs": [1]}, "needs=[1]"),
        ({"secondary_ips": 1}, "secondary_ips=1"),
    ],
)
def test_what_cannot_be_is_named_with_what_can(keywords: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError) as caught:
        ClusterSpec.from_keywords(keywords)
    assert named in str(caught.value)
    assert "give" in caught.value.cure


def test_an_unknown_keyword_is_named_with_its_nearest_neighbour() -> None:
    with pytest.raises(SpecError, match=r"no 'node' in a cluster's spec; did you mean 'nodes'"):
        ClusterSpec.from_keywords({"node": 3})


def test_keywords_go_before_defaults() -> None:
    spec = ClusterSpec.from_keywords({"nodes": 2}, {"nodes": 5, "name": "other"})
    assert (len(spec.nodes), spec.name) == (2, "other")


@pytest.mark.parametrize(
    "keywords", [{"memory": 0}, {"cpus": "2"}, {"disk": 1.5}, {"name": "-"}, {"group": ""}, {"offline": 1}]
)
def test_a_node_that_cannot_be_is_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=rf"NodeSpec\.{next(iter(keywords))}="):
        NodeSpec(**keywords)


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(),
        ClusterSpec(
            nodes=[NodeSpec(name="alpha", memory=4096, cpus=2, disk=10), NodeSpec(group="g", offline=True)],
            disk_templates=("file",),
            daemons=(),
            engine="namespaces",
            needs={"partition", "latency"},
            ganeti="3.1",
            init_options=("--no-lvm", "--x=y z"),
            name="other",
        ),
    ],
)
def test_a_spec_is_the_same_after_json(spec: ClusterSpec) -> None:
    text = json.dumps(spec.to_json())
    assert ClusterSpec.from_json(json.loads(text)) == spec
    assert json.dumps(ClusterSpec.from_json(json.loads(text)).to_json()) == text


def test_json_of_an_impossible_spec_is_refused() -> None:
    with pytest.raises(SpecError, match="daemons='nosuch'"):
        ClusterSpec.from_json({**ClusterSpec().to_json(), "daemons": ["nosuch"]})
    with pytest.raises(TypeError, match="nosuch"):
        ClusterSpec.from_json({**ClusterSpec().to_json(), "nosuch": 1})


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (ClusterSpec(), "3 nodes"),
        (ClusterSpec(nodes=1, name="other"), "1 node, name=other"),
        (ClusterSpec(daemons=("mond", "confd")), "3 nodes, daemons=confd+mond"),
        (ClusterSpec(daemons=(), ganeti="3.1"), "3 nodes, daemons=none, ganeti=3.1"),
        (ClusterSpec(secondary_ips=True), "3 nodes, secondary_ips=True"),
        (ClusterSpec(nodes=[NodeSpec(), NodeSpec(memory=512)]), "2 nodes, of their own make"),
    ],
)
def test_specs_have_names_that_tell_them_apart(spec: ClusterSpec, text: str) -> None:
    assert spec.label == text
