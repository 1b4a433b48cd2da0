"""What instances write into a configuration; that Ganeti takes it is shown in tests/live/test_populate.py."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.ganeti.populated import told_to_nodes, with_instances

_NOW = 1000.5


def _config(*, dev_type: str = "file", ip: str | None = None) -> dict[str, Any]:
    instance = {
        "name": "web1.vc",
        "uuid": "i1",
        "primary_node": "u1",
        "beparams": {"maxmem": 64},
        "nics": [{"uuid": "n1", "mac": "aa:00:00:00:00:01", "ip": ip}],
        "disks": ["d1"],
        "ctime": 1.0,
        "mtime": 1.0,
    }
    disk = {
        "uuid": "d1",
        "dev_type": dev_type,
        "logical_id": ["loop", "/srv/ganeti/file-storage/web1.vc/abc.file.disk0"],
        "nodes": ["u1"],
        "size": 16,
        "ctime": 1.0,
        "mtime": 1.0,
    }
    cluster = {
        "mac_prefix": "aa:00:00",
        "beparams": {"default": {"maxmem": 128, "minmem": 128, "vcpus": 2}},
        "serial_no": 4,
        "mtime": 3.0,
    }
    nodes = {"u1": {"name": "node1.vc"}, "u2": {"name": "node2.vc"}}
    return {
        "cluster": cluster,
        "nodes": nodes,
        "instances": {"i1": instance},
        "disks": {"d1": disk},
        "serial_no": 9,
        "mtime": 3.0,
    }


def _populated(config: dict[str, Any]) -> Any:
    homes = {"web2.vc": "node2.vc", "web10.vc": "node1.vc"}
    return with_instances(config, "web1.vc", homes, _NOW, random.Random(1))  # noqa: S311


def test_each_has_what_is_its_own() -> None:
    config = _config()
    population = _populated(config)
    assert config == _config()
    instances = {one["name"]: one for one in population.config["instances"].values()}
    assert list(instances) == ["web1.vc", "web2.vc", "web10.vc"]
    assert [one["primary_node"] for one in instances.values()] == ["u1", "u2", "u1"]
    for field in ("uuid", "disks", "nics"):
        assert len({str(one[field]) for one in instances.values()}) == 3
    macs = [one["nics"][0]["mac"] for one in instances.values()]
    assert len(set(macs)) == 3
    assert all(mac.startswith("aa:00:00:") for mac in macs)
    assert (population.config["serial_no"], population.config["cluster"]["serial_no"]) == (10, 5)


def test_what_belongs_onto_nodes() -> None:
    population = _populated(_config())
    # Memory as the instance has it, and CPUs as the cluster says.
    assert population.running == "0\n64\n2\n"
    assert population.homes == {"web2.vc": "node2.vc", "web10.vc": "node1.vc"}
    assert [(disk.instance, disk.index, disk.node, disk.size) for disk in population.disks] == [
        ("web2.vc", 0, "node2.vc", 16),
        ("web10.vc", 0, "node1.vc", 16),
    ]
    for disk in population.disks:
        assert disk.path.startswith(f"/srv/ganeti/file-storage/{disk.instance}/")
        assert disk.path.endswith(".file.disk0")
    known = [disk["nodes"] for disk in population.config["disks"].values()]
    assert known == [["u1"], ["u2"], ["u1"]]


def test_nodes_are_told_of_instances_in_order() -> None:
    told = told_to_nodes(_populated(_config()).config)
    assert told == {"ssconf_instance_list": "web1.vc\nweb2.vc\nweb10.vc\n"}


def test_what_cannot_be_a_model() -> None:
    with pytest.raises(SpecError, match="disks of plain cannot be made in bulk"):
        _populated(_config(dev_type="plain"))
    with pytest.raises(SpecError, match="a NIC with an IP address"):
        _populated(_config(ip="192.0.2.1"))
