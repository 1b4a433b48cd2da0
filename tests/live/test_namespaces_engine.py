"""Real clusters on engine `namespaces`: Ganeti is not modified, and the handle works."""

from __future__ import annotations

import signal
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster import VirtualCluster
from pytest_ganeti_vcluster.clients.confd import REQ_PING, ConfdClient
from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import GanetiNotFound, ResetFailed
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.rows.queue_jobs import until


def settings(**flags: str) -> Settings:
    return Settings.read(flags={"ganeti": "system", **flags})


@pytest.fixture(scope="module")
def _possible() -> None:
    found = try_namespaces().probe
    if not found.available:
        pytest.skip(f"{found.reason}; {found.cure}")
    try:
        find_installation(settings())
    except GanetiNotFound as error:
        pytest.skip(f"{error.message}: the engine needs a Ganeti that is installed on the machine")


@pytest.fixture(scope="module")
def one(_possible: None, vcluster_factory: ClusterFactory) -> Iterator[VirtualCluster]:
    with vcluster_factory(nodes=1, engine="namespaces", ganeti="system") as cluster:
        yield cluster


def test_ganeti_runs_with_its_own_paths_and_a_real_master_ip(one: VirtualCluster) -> None:
    assert one.engine == "namespaces"
    assert one.run("gnt-cluster", "getmaster").stdout.strip() == one.master.name
    environment = Path(f"/proc/{one.master.daemon('noded').pid}/environ").read_bytes().split(b"\0")
    ours = (b"GANETI_", b"LD_PRELOAD", b"PYTHONUSERBASE", b"NSS_")
    assert not [line for line in environment if line.startswith(ours)]
    addresses = one.run("ip", "-oneline", "-4", "address", "show", "dev", "eth0").stdout
    assert f"inet {one.ip}/32 scope global eth0:0" in addresses
    assert one.master.holds_master_ip
    info = one.luxi.query_cluster_info()
    assert info["file_storage_dir"] == "/srv/ganeti/file-storage"
    assert info["master_netdev"] == "eth0"


def test_all_clients_reach_it_from_outside(one: VirtualCluster) -> None:
    assert one.luxi.query_cluster_info()["name"] == one.name
    assert [node["id"] for node in one.rapi.get("/2/nodes")] == [one.master.name]
    place = urllib.parse.urlsplit(one.rapi.url)
    # The certificate is good for where it is reached, too.
    context = ssl.create_default_context(cafile=str(one.rapi_access.ca_file))
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=60) as plain:
        context.wrap_socket(plain, server_hostname=place.hostname).close()
    master = one.master
    key = master.path("/var/lib/ganeti/hmac.key").read_bytes()
    network = master.boot_node.site.network
    assert ConfdClient(key, master.ip, make_socket=network.new_socket).query(REQ_PING, "", timeout=60).ok


def test_an_instance_lives_and_a_reset_takes_it_away(one: VirtualCluster) -> None:
    instance = one.add_instance("instance1", "file", primary=one.master, nics=[{"link": "br0"}])
    assert instance.status == "running"
    disks = [path for path in one.master.path("/srv/ganeti/file-storage").rglob("*") if path.is_file()]
    assert len(disks) == 1
    assert one.verify() == []
    daemons = set(one.master.daemons)
    assert one.reset().how == "restored"
    assert set(one.master.daemons) == daemons
    assert one.instances == []
    assert not disks[0].exists()
    assert one.verify() == []


def test_it_is_a_clone_with_secrets_of_its_own(one: VirtualCluster, vcluster_factory: ClusterFactory) -> None:
    assert {"files", "machines", "daemons"} <= {stage.name for stage in one.boot_stages}
    with vcluster_factory(nodes=1, engine="namespaces", ganeti="system") as other:
        assert "gnt-cluster init" not in {stage.name for stage in other.boot_stages}
        # At the same time, at the same addresses.
        assert (other.ip, other.master.ip) == (one.ip, one.master.ip)
        assert other.rapi.password != one.rapi.password
        certificates = [
            cluster.master.path("/var/lib/ganeti/rapi.pem").read_bytes() for cluster in (one, other)
        ]
        assert certificates[0] != certificates[1]
        other.run("gnt-cluster", "add-tags", "other")
        assert [cluster.run("gnt-cluster", "list-tags").stdout for cluster in (one, other)] == ["", "other\n"]


@pytest.mark.parametrize(
    "command",
    [
        "ip link set eth0 down",
        "kill -KILL $(cat /run/sshd.pid)",
        *(
            pytest.param(command, marks=pytest.mark.slow)
            for command in (
                "ip link add br7 type bridge",
                "ip address del 198.18.0.1/32 dev eth0",
                "ip route add 192.0.2.0/24 dev eth0",
                "mount -t tmpfs none /srv",
                "kill -STOP 1",
            )
        ),
    ],
)
def test_a_node_that_is_not_as_it_was_boots_again_in_a_reset(one: VirtualCluster, command: str) -> None:
    assert one.reset() is not None
    before = FirstProcess.read(one.master.root)
    if command.endswith(" 1"):
        # Of its own children it takes no such signal.
        assert before is not None
        before.identity.signal(signal.SIGSTOP)
    else:
        one.run("sh", "-c", command)
    assert one.reset().how == "restored"
    assert FirstProcess.read(one.master.root) != before
    assert one.reset().how == "nothing"
    assert one.master.holds_master_ip
    with one.master.boot_node.site.network.connect(one.master.ip, 22, 60) as connection:
        assert connection.recv(4) == b"SSH-"
    assert one.rapi.get("/2/nodes")


def test_a_node_that_is_off_or_has_crashed_comes_back_in_a_reset(one: VirtualCluster) -> None:
    one.master.power_off()
    assert one.reset().how == "restored"
    assert one.rapi.get("/2/nodes")
    one.master.crash()
    assert one.reset().how == "restored"
    assert one.rapi.get("/2/nodes")


@pytest.mark.usefixtures("_possible")
def test_without_its_network_a_cluster_cannot_be_reset(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=1, engine="namespaces", ganeti="system") as cluster:
        pids = [
            one for one in cluster.parts.keeper.processes() if any(".switch" in word for word in one.argv)
        ]
        pids[0].identity.signal(signal.SIGKILL)
        assert pids[0].identity.wait_gone(60)
        with pytest.raises(ResetFailed):
            cluster.reset()


def test_snapshots_are_restored(one: VirtualCluster) -> None:
    one.reset()
    one.add_instance("kept", "file", primary=one.master)
    snapshot = one.snapshot()
    one.master.power_off()
    one.restore(snapshot)
    assert [(instance.name, instance.status) for instance in one.instances] == [("kept.vc", "running")]
    one.reset()
    assert one.instances == []


def test_no_process_after_a_crash_has_the_number_of_a_daemon_before_it(one: VirtualCluster) -> None:
    files = list(one.master.path("/var/run/ganeti").glob("*.pid"))
    highest = max(int(path.read_text(encoding="ascii").split()[0]) for path in files)
    with one.master.crash():
        assert {path for path in files if path.exists()} == set(files)
        # daemon-util would take a daemon whose number anybody has for running.
        assert int(one.run("sh", "-c", "echo $$").stdout) > highest
    assert set(one.master.daemons) >= {"noded", "wconfd", "luxid"}


@pytest.mark.slow
def test_a_killed_daemon_and_a_crashed_node_come_back(one: VirtualCluster) -> None:
    master = one.master
    master.daemon("noded").kill()
    assert not master.daemon("noded").running

    def started() -> bool:
        # Its pid file stays locked while a child of it answers a call.
        one.run("daemon-util", "start", "ganeti-noded", check=False)
        return master.daemon("noded").running

    until(started, "noded runs again")
    assert "daemon startup" in master.log("noded")
    boot_id = master.run("cat", "/proc/sys/kernel/random/boot_id").stdout
    master.crash()
    assert not master.daemons
    assert [node for node in one.nodes if node.holds_master_ip] == []
    assert master.run("cat", "/proc/sys/kernel/random/boot_id").stdout == boot_id
    master.run_watcher("--ignore-pause", timeout=300)
    assert {"noded", "wconfd", "luxid", "rapi"} <= set(master.daemons)
    # luxid has noded set it up once it runs (src/Ganeti/Query/Server.hs).
    until(lambda: master.holds_master_ip, "the master has its address")
    master.power_off()
    assert master.run("true", check=False).returncode == 255
    master.power_on()
    assert master.run("cat", "/proc/sys/kernel/random/boot_id").stdout != boot_id
    assert one.run("gnt-cluster", "getmaster").stdout.strip() == master.name


def test_another_process_may_attach(one: VirtualCluster) -> None:
    other = attach_cluster(one.root)
    try:
        assert other.engine == "namespaces"
        assert other.run("hostname").stdout.strip() == one.master.name
        assert other.run("env").lines == one.run("env").lines
        assert "ganeti-noded" in other.run("daemon-util", "list-start-daemons").lines
        assert other.rapi.url == one.rapi.url
    finally:
        other.detach()
    assert one.run("hostname").stdout.strip() == one.master.name


@pytest.mark.slow
@pytest.mark.usefixtures("_possible")
def test_nodes_join_by_ssh_and_the_cluster_verifies_clean(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=3, engine="namespaces", ganeti="system") as cluster:
        told = cluster.run("gnt-cluster", "command", "hostname; id -u").stdout
        for node in cluster.nodes:
            assert f"node: {node.name}" in told
            assert node.run("hostname").stdout.strip() == node.name
        first, second, third = cluster.nodes
        instance = cluster.add_instance("instance1", "diskless", primary=second)
        assert instance.primary == second
        assert cluster.verify() == []
        second.run("gnt-cluster", "master-failover", timeout=600)
        assert cluster.master == second
        assert second.holds_master_ip
        assert not first.holds_master_ip
        assert [node["id"] for node in cluster.rapi.get("/2/nodes")] == [first.name, second.name, third.name]
        fourth = cluster.add_node()
        assert cluster.run("gnt-node", "list", "--no-headers", "-oname").lines == [
            node.name for node in cluster.nodes
        ]
        cluster.remove_node(fourth)
        assert not fourth.root.exists()
        assert cluster.verify() == []
