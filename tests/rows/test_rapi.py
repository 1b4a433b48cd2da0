"""RAPI is reached at the master IP address, and follows the master."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.clients.rapi import RapiClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import RapiError
from tests.rows.networks import listens, place_of
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

PORT = 5080

#: What becomes of a connection to where nobody is; through an outlet of engine `namespaces` it is broken off.
OUT_OF_REACH = r"Connection refused|reset by peer|without response|EOF occurred|\(EOF\)|timed out"


def at(cluster: VirtualCluster, host: str) -> RapiClient:
    """Give a client of the RAPI at an address, which checks its certificate."""
    access = cluster.rapi_access
    return RapiClient(
        f"https://{place_of(cluster, host, PORT)}",
        access.username,
        access.password,
        access.ca_file,
        client_module_folder=cluster.ganeti.share,
    )


@shows(
    "rapi", "one client, at the cluster's address, talks to the old and to the new master over checked TLS"
)
def test_rapi_follows_the_master(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    client = vcluster.rapi
    assert client.url == f"https://{place_of(vcluster, vcluster.ip, PORT)}"
    assert client.info()["master"] == first.name
    # At the master's own address, too, and nowhere else.
    assert at(vcluster, first.ip).info()["master"] == first.name
    for node in (second, third):
        assert not listens(node, PORT)

    second.run("gnt-cluster", "master-failover")

    assert client.info()["master"] == second.name
    assert at(vcluster, second.ip).info()["master"] == second.name
    assert not listens(first, PORT)


@shows(
    "rapi",
    "it is out of reach while the master is off or no node holds the master IP, and comes back with it",
)
def test_rapi_without_a_master(vcluster: VirtualCluster) -> None:
    first, second, _third = vcluster.nodes
    client = vcluster.rapi
    vcluster.run("gnt-cluster", "deactivate-master-ip", "--yes")
    with pytest.raises(RapiError, match=OUT_OF_REACH):
        client.info()
    assert at(vcluster, first.ip).info()["master"] == first.name
    vcluster.run("gnt-cluster", "activate-master-ip")
    assert client.info()["master"] == first.name

    first.power_off()
    with pytest.raises(RapiError, match=OUT_OF_REACH):
        client.info()
    second.run("gnt-cluster", "master-failover")
    assert client.info()["master"] == second.name


@shows("rapi", "jobs are submitted by POST, and a user without write access is refused")
def test_rapi_users(vcluster: VirtualCluster) -> None:
    users = vcluster.master.path("/var/lib/ganeti/rapi/users")
    with users.open("a", encoding="utf-8") as stream:
        stream.write("reader {cleartext}looks read\n")
    access = vcluster.rapi_access
    reader = RapiClient(vcluster.rapi.url, "reader", "looks", access.ca_file)
    assert reader.get("/2/nodes/node2.vc/role") == "master-candidate"
    with pytest.raises(RapiError, match="403"):
        reader.put("/2/nodes/node2.vc/tags", tag="new")
    with pytest.raises(RapiError, match="401"):
        RapiClient(vcluster.rapi.url, "reader", "guess", access.ca_file).get("/2/nodes")
    job = vcluster.rapi.put("/2/nodes/node2.vc/tags", tag="new")
    vcluster.wait_idle(60)
    assert vcluster.rapi.get(f"/2/jobs/{job}")["status"] == "success"
    assert reader.get("/2/nodes/node2.vc/tags") == ["new"]
    with pytest.raises(RapiError, match="404"):
        reader.get("/2/nodes/nobody.vc")
