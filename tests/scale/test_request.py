"""What a sweep is asked for, and whether results belong to it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.errors import NoFreeAddresses, ResultsError, SpecError
from pytest_ganeti_vcluster.scale.machine import this_machine
from pytest_ganeti_vcluster.scale.probes import PROBES, chosen_probes
from pytest_ganeti_vcluster.scale.request import Request, check_same
from pytest_ganeti_vcluster.settings import Settings
from tests.scale.made import sweep

GIB = 1 << 30


def request(**fields: Any) -> Request:
    return Request(**{"nodes": (2, 3), "instances": (0, 5), "memory_limit": GIB, **fields})


def test_the_points_are_in_the_order_in_which_clusters_grow() -> None:
    assert request().sizes == ((2, 0), (2, 5), (3, 0), (3, 5))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"nodes": ()}, "nodes is empty"),
        ({"nodes": (3, 2)}, "nodes: 2 comes after 3"),
        ({"nodes": (2, 2)}, "nodes: 2 comes after 2"),
        ({"nodes": (0, 2)}, "nodes: 0 is not possible"),
        ({"nodes": (2, 100_000)}, "nodes: 100000 is not possible"),
        ({"instances": (-1,)}, "instances: -1 is not possible"),
        ({"instances": (5, 0)}, "instances: 0 comes after 5"),
        ({"probes": ("verify", "nope")}, "no probe 'nope'"),
        ({"daemons": ("noded",)}, "noded"),
        ({"join": "fast"}, "fast"),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        request(**fields)


def test_the_same_cluster_at_each_size() -> None:
    small, large = (request(nodes=(2, 30)).spec(nodes) for nodes in (2, 30))
    assert attrs.evolve(small, nodes=large.nodes) == large
    assert len(large.nodes) == 30
    # Room for thousands of instances, to which nobody gives any.
    assert large.nodes[0].capacity["memory"] > 2000 * 128


def test_more_nodes_than_addresses() -> None:
    settings = attrs.evolve(Settings.read(environment={}), subnet=ipaddress.IPv4Network("127.64.0.0/24"))
    with pytest.raises(NoFreeAddresses, match=r"500 nodes have no room in the pool 127\.64\.0\.0/24"):
        request(nodes=(2, 500)).check(settings)


def test_probes_are_chosen_by_name_and_done_in_their_order() -> None:
    assert chosen_probes(()) == PROBES
    assert [probe.name for probe in chosen_probes(["verify", "node-list"])] == ["node-list", "verify"]
    operations = [one.operation for probe in PROBES for one in (probe, probe.undo) if one is not None]
    assert len(set(operations)) == len(operations)
    assert len({probe.name for probe in PROBES}) == len(PROBES)


def test_more_sizes_belong_to_the_same_sweep() -> None:
    found = sweep(options={"repeat": 3}, label="theirs")
    check_same(sweep(options={"repeat": 3}, label="ours"), found, labelled=False, name="file")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ganeti": "3.1.1"}, "ganeti: '3.0.2' there, '3.1.1' now"),
        ({"engine": "namespaces"}, "engine"),
        ({"product": "9"}, "product"),
        ({"label": "ours"}, "label"),
        ({"options": {"repeat": 5}}, "repeat: 3 there, 5 now"),
        ({"options": {"repeat": 3, "new": 1}}, "new: None there, 1 now"),
        ({"options": {}}, "repeat: 3 there, None now"),
    ],
)
def test_results_of_another_kind_are_not_gone_on_with(fields: dict[str, Any], told: str) -> None:
    found = sweep(options={"repeat": 3})
    with pytest.raises(ResultsError, match=told) as caught:
        check_same(attrs.evolve(found, **fields), found, labelled=True, name="a.json")
    assert caught.value.message.startswith("a.json has results of another kind")


def test_another_machine_is_another_kind() -> None:
    found = sweep()
    more = attrs.evolve(found.machine, cores=found.machine.cores + 1, memory=1, kernel="other")
    with pytest.raises(ResultsError, match="the machine's cores") as caught:
        check_same(attrs.evolve(found, machine=more), found, labelled=False, name="a.json")
    # A kernel may be renewed in between.
    assert "kernel" not in str(caught.value)


def test_this_machine() -> None:
    here = this_machine()
    assert here.cores >= 1
    assert here.memory > 1 << 28


def test_the_reference_tells_of_every_probe() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/scale.rst").read_text(encoding="utf-8")
    for probe in PROBES:
        assert f"``{probe.name}``" in page
        for one in (probe, probe.undo):
            assert one is None or f"``{one.operation}``" in page
