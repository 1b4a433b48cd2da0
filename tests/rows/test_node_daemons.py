"""confd, mond and metad answer on the nodes where they should."""

from __future__ import annotations

import http.client
import json
from functools import partial
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients import ConfdClient
from pytest_ganeti_vcluster.clients.confd import (
    REQ_CLUSTER_MASTER,
    REQ_INSTANCES_IPS_LIST,
    REQ_MC_PIP_LIST,
    REQ_NODE_PIP_LIST,
    REQ_NODE_ROLE_BYNAME,
)
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import GanetiError
from tests.leaks import settle
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

#: Of confd: `constants.CONFD_NODE_ROLE_*`.
MASTER, CANDIDATE, OFFLINE, REGULAR = 0, 1, 2, 4

MOND_PORT = 1815

#: Asks for a path from an address of the machine that it runs on.
_ASK = """\
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20, source_address=(sys.argv[4], 0))
connection.request("GET", sys.argv[3])
response = connection.getresponse()
print(response.status, response.read().decode())
"""


def confd(cluster: VirtualCluster, node: VirtualNode) -> ConfdClient:
    """Give a client of a node's confd that has the cluster's key."""
    return confd_of(node, cluster.master.path("/var/lib/ganeti/hmac.key").read_bytes())


def confd_of(node: VirtualNode, key: bytes) -> ConfdClient:
    """Give a client of a node's confd that has a key."""
    return ConfdClient(key, node.ip, make_socket=node.boot_node.site.network.new_socket)


def get(node: VirtualNode, port: int, path: str, source: str = "") -> tuple[int, Any]:
    """Ask a node over HTTP; status and answer. From an address it is asked where it is heard, on the node itself."""
    if source:
        told = node.run("python3", "-c", _ASK, node.ip, str(port), path, source).stdout
        status, body = int(told.split()[0]), told.partition(" ")[2].strip().encode()
    else:
        connection = http.client.HTTPConnection(node.ip, port, timeout=20)
        connection.sock = node.boot_node.site.network.connect(node.ip, port, 20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            status, body = response.status, response.read()
        finally:
            connection.close()
    return status, json.loads(body) if status == http.client.OK and body else body


def stand_in(cluster: VirtualCluster, node: VirtualNode, *addresses: str) -> None:
    """Have a node ask from addresses as if instances with them were there; on loopback any address is there."""
    if cluster.parts.site.has_machines:
        for address in addresses:
            node.run("ip", "address", "add", f"{address}/32", "dev", "lo")


def _lacks(client: ConfdClient, link: str, address: str) -> bool:
    """Tell whether confd does not know yet of an instance's address on a link."""
    return bool(client.query(REQ_INSTANCES_IPS_LIST, link).answer != [address])


@shows(
    "confd",
    "every master candidate answers signed queries: the master, roles, addresses of nodes and instances",
)
def test_confd_answers_on_master_candidates(vcluster: VirtualCluster) -> None:
    master, second, third = vcluster.nodes
    nic = {"mode": "routed", "link": "table1", "ip": "10.0.0.7"}
    vcluster.add_instance(primary=second, nics=[nic])
    for node in vcluster.nodes:
        client = confd(vcluster, node)
        assert client.query(REQ_CLUSTER_MASTER).answer == master.name
        assert client.query(REQ_NODE_ROLE_BYNAME, master.name).answer == MASTER
        assert client.query(REQ_NODE_ROLE_BYNAME, third.name).answer == CANDIDATE
        assert set(client.query(REQ_NODE_PIP_LIST).answer) == {one.ip for one in vcluster.nodes}
        assert not settle(partial(_lacks, client, "table1", "10.0.0.7"))
        assert not client.query(REQ_NODE_ROLE_BYNAME, "nobody.vc").ok


@shows("confd", "a node that is no master candidate any more has no answers, only an error")
def test_confd_elsewhere(vcluster: VirtualCluster) -> None:
    _master, second, third = vcluster.nodes
    vcluster.run("gnt-cluster", "modify", "--candidate-pool-size=2")
    vcluster.run("gnt-node", "modify", "--master-candidate=no", "node3")
    asked = confd(vcluster, second)
    assert not settle(lambda: asked.query(REQ_NODE_ROLE_BYNAME, third.name).answer != REGULAR)
    assert third.ip not in asked.query(REQ_MC_PIP_LIST).answer
    assert third.daemon("confd").running
    assert not settle(lambda: confd(vcluster, third).query(REQ_CLUSTER_MASTER).ok)


@shows(
    "confd",
    "a query signed with another key is passed over in silence, and one to a node that is off is refused",
)
def test_confd_refuses(vcluster: VirtualCluster) -> None:
    master, second, _third = vcluster.nodes
    key = master.path("/var/lib/ganeti/hmac.key").read_bytes()
    with pytest.raises(GanetiError, match="No answer from confd"):
        confd_of(second, key + b"x").query(REQ_CLUSTER_MASTER, timeout=0.5)
    assert "Failed to parse incoming message" in second.log("confd")
    second.power_off()
    with pytest.raises(GanetiError, match=r"Connection refused|No answer from confd|No route to host"):
        confd_of(second, key).query(REQ_CLUSTER_MASTER, timeout=5)


@shows("mond", "the collectors that the cluster has switched on answer over HTTP on any node")
def test_mond(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    # There is no DRBD and no LVM on it; and the one for disks takes only what kernels before 4.18 tell
    # (src/Ganeti/Storage/Diskstats/Parser.hs).
    vcluster.run("gnt-cluster", "modify", "--enabled-data-collectors=drbd=False,lv=False,diskstats=False")
    # Where Ganeti is not modified it runs everywhere, as Ganeti was built.
    for one in vcluster.nodes:
        one.run("daemon-util", "stop", "ganeti-mond")
    node.run("daemon-util", "start", "ganeti-mond")

    assert not settle(lambda: get(node, MOND_PORT, "/") != (200, [1]))
    listed = get(node, MOND_PORT, "/1/list/collectors")[1]
    assert {name for name, _category, _kind in listed} == {"cpu-avg-load", "xen-cpu-avg-load"}
    reports = get(node, MOND_PORT, "/1/report/all")[1]
    assert {report["name"] for report in reports} == {"cpu-avg-load", "xen-cpu-avg-load"}
    one = get(node, MOND_PORT, "/1/report/default/cpu-avg-load")[1]
    assert (one["name"], one["format_version"], one["kind"]) == ("cpu-avg-load", 1, 0)
    assert get(node, MOND_PORT, "/1/report/storage/drbd")[0] == 404
    assert get(node, MOND_PORT, "/3")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(vcluster.master, MOND_PORT, "/")


@shows(
    "metad",
    "it is started for an instance, and tells it its OS parameters by its address",
    because=("search-paths",),
)
def test_metad(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    address, other = (vcluster.parts.site.lease.instance_ip(number) for number in (50, 51))
    stand_in(vcluster, node, address, other)
    port = 80 if vcluster.parts.site.has_machines else 8080
    assert not node.daemon("metad").running
    instance = vcluster.add_instance(
        "guest",
        "file",
        primary=node,
        nics=[{"name": "ganeti:communication:guest.vc", "mode": "routed", "link": "table1", "ip": address}],
        instance_communication=True,
        osparams_private={"marker": "swordfish"},
    )
    assert node.daemon("metad").running
    path = "/ganeti/latest/os/parameters.json"
    assert get(node, port, path, address) == (200, {"marker": ["swordfish", "private"]})
    # Nobody else is told, and no other node knows.
    assert get(node, port, path, other)[0] == 404
    assert not vcluster.node("node3").daemon("metad").running
    assert node.run("gnt-debug", "metad", "echo", "hello").stdout == "Answer: hello\n"
    with pytest.raises(ConnectionRefusedError):
        get(vcluster.node("node3"), port, path)
    # It has all in memory: when the node boots it is gone until Ganeti tells it again.
    node.power_cycle()
    stand_in(vcluster, node, address)
    assert not node.daemon("metad").running
    vcluster.submit(
        {"OP_ID": "OP_INSTANCE_SET_PARAMS", "instance_name": instance.name, "osparams": {"marker": "tuna"}}
    ).wait(60)
    assert get(node, port, path, address)[0] == 200
