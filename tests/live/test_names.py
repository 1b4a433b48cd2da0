"""Names: those of the cluster are known to every node, and no others are looked for anywhere."""

from __future__ import annotations

import shutil
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.engines.loopback.plan import INSTANCES_PER_BLOCK
from pytest_ganeti_vcluster.engines.site_names import READY_INSTANCE_NAMES
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed, LuxiError, SpecError
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.rows.refusals import UNKNOWN_NAME
from tests.versions import CHECKED, checks

CREATE = {
    **CHECKED,
    "OP_ID": "OP_INSTANCE_CREATE",
    "mode": "create",
    "disk_template": "diskless",
    "disks": [],
    "nics": [],
    "os_type": "dd+default",
    "hypervisor": "fake",
}


def address_on(cluster: VirtualCluster, node: int, name: str) -> str:
    """Ask the resolver of a node, as any program on it would."""
    program = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
    return cluster.node(node).run(str(cluster.ganeti.python), "-c", program, name).stdout.strip()


def test_every_node_knows_every_name(cluster: VirtualCluster) -> None:
    for node in range(3):
        assert address_on(cluster, node, cluster.name) == cluster.ip
        assert (
            address_on(cluster, node, "node2") == address_on(cluster, node, "node2.vc") == cluster.nodes[1].ip
        )
        address = ip_address(address_on(cluster, node, "instance1"))
        assert any(address in block for block in cluster.parts.site.lease.blocks)


def test_added_name_is_known_to_running_daemons(cluster: VirtualCluster) -> None:
    address = cluster.add_name("ida")
    assert cluster.add_name("ida.vc") == address
    assert address_on(cluster, 2, "ida") == address
    # luxid and its jobs had read the names before.
    instance = cluster.add_instance("ida")
    assert instance.name == "ida.vc"


def test_unknown_name_is_refused_at_once(cluster: VirtualCluster) -> None:
    with pytest.raises(CommandFailed, match=UNKNOWN_NAME) as caught:
        cluster.run("gnt-instance", "add", "-t", "diskless", "-o", "dd+default", *checks(cluster), "nosuch")
    assert caught.value.result.duration < 10


@pytest.mark.only_on("loopback", "a machine of its own has a name server")
def test_name_server_is_not_asked(cluster: VirtualCluster, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    trace = tmp_path / "trace"
    cluster.run(
        strace, "-f", "-e", "trace=connect,openat", "-o", str(trace), "gnt-node", "add", "nosuch.example.org",
        # What strace starts is to do the work itself.
        check=False, env={"VCLUSTER_FORK_SOCKET": ""},
    )  # fmt: skip
    calls = trace.read_text(encoding="utf-8", errors="replace")
    assert "netutils.py" in calls
    assert "htons(53)" not in calls
    assert "/etc/resolv.conf" not in calls


def test_submitted_opcodes_make_their_names_known(cluster: VirtualCluster) -> None:
    cluster.submit({**CREATE, "instance_name": "julia", "pnode": cluster.master.name}).wait(60)
    rename: dict[str, Any] = {
        "OP_ID": "OP_INSTANCE_RENAME",
        "instance_name": "julia.vc",
        "new_name": "karla.vc",
    }
    shutdown = {"OP_ID": "OP_INSTANCE_SHUTDOWN", "instance_name": "julia.vc"}
    assert cluster.submit([shutdown, rename]).wait(60) == [None, "karla.vc"]
    many = {
        "OP_ID": "OP_INSTANCE_MULTI_ALLOC",
        "opportunistic_locking": False,
        "instances": [
            {**CREATE, "instance_name": name, "pnode": cluster.master.name, "reason": []}
            for name in ("lena", "maria.vc")
        ],
    }
    [result] = cluster.submit(many).wait(60)
    assert [status for status, _job in result["jobs"]] == [True, True]
    cluster.wait_idle(60)
    assert {instance.name for instance in cluster.instances} == {"karla.vc", "lena.vc", "maria.vc"}


@pytest.mark.parametrize("name", ["with space", "", "-", "a..b", 7, None])
def test_what_is_no_name_is_for_ganeti_to_refuse(cluster: VirtualCluster, name: Any) -> None:
    hosts = cluster.root / "engine/hosts"
    before = hosts.read_text(encoding="utf-8")
    with pytest.raises((JobFailed, LuxiError)):
        cluster.submit({**CREATE, "instance_name": name, "pnode": cluster.master.name}).wait(60)
    assert hosts.read_text(encoding="utf-8") == before


def test_names_run_out_with_the_addresses(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=1) as small:
        room = INSTANCES_PER_BLOCK - READY_INSTANCE_NAMES
        addresses = {small.add_name(f"name{number}") for number in range(room)}
        assert len(addresses) == room
        with pytest.raises(SpecError, match=r"no address is left for the name 'last\.vc'") as caught:
            small.add_name("last")
        assert "instance1 to instance60" in caught.value.cure
        assert small.add_name("name7") in addresses
