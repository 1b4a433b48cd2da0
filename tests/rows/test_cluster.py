"""The cluster as a whole: made with options, changed, renamed, looked after, switched off, and destroyed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import BootFailed, CommandFailed, LuxiError, SpecError
from pytest_ganeti_vcluster.settings import Settings
from tests.rows.queue_jobs import until
from tests.rows.refusals import UNKNOWN_NAME
from tests.rows.showing import shows


def _modify(cluster: VirtualCluster, *options: str) -> dict[str, Any]:
    """Change the cluster; return what is known of it afterwards."""
    cluster.run("gnt-cluster", "modify", *options)
    return cluster.luxi.query_cluster_info()


@shows("cluster", "a spec's options reach gnt-cluster init, its node parameters beside ours")
def test_init_options(clusters_root: Path) -> None:
    options = (
        "--enabled-hypervisors=fake,chroot",
        "--node-parameters=spindle_count=3,oob_program=/bin/true",
        "--backend-parameters=vcpus=2,minmem=64,maxmem=96",
        "--nic-parameters=link=br1",
        "--candidate-pool-size=4",
        "--mac-prefix=aa:bb:cc",
        "--prealloc-wipe-disks=yes",
        "--uid-pool=5000-5010",
    )
    spec = ClusterSpec(nodes=1, name="made", init_options=options)
    with build_cluster(spec, Settings(root=clusters_root)) as cluster:
        info = cluster.luxi.query_cluster_info()
        assert info["name"] == cluster.name == "made.vc"
        assert info["enabled_hypervisors"] == ["fake", "chroot"]
        assert info["ndparams"]["spindle_count"] == 3
        assert info["ndparams"]["ssh_port"] == cluster.parts.site.ssh_port
        assert info["beparams"]["default"]["vcpus"] == 2
        assert info["nicparams"]["default"]["link"] == "br1"
        assert info["candidate_pool_size"] == 4
        assert info["mac_prefix"] == "aa:bb:cc"
        assert info["prealloc_wipe_disks"] is True
        assert info["uid_pool"] == [[5000, 5010]]


@shows(
    "cluster",
    "an init that Ganeti refuses is told with its reason; what the engine needs cannot be taken away",
)
def test_init_that_is_refused(clusters_root: Path) -> None:
    spec = ClusterSpec(nodes=1, init_options=("--enabled-hypervisors=fake,nonsense",))
    with pytest.raises(BootFailed, match="init the cluster") as caught:
        build_cluster(spec, Settings(root=clusters_root))
    assert "Enabled hypervisors contains invalid entries: {'nonsense'}" in caught.value.seen
    for options in (("--node-parameters=ssh_port=22",), ("--node-param", "spindle_count=1,ssh_port=22")):
        with pytest.raises(SpecError, match="init_options"):
            ClusterSpec(nodes=1, init_options=options)


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "gnt-cluster modify changes parameters of cluster, nodes, NICs, hypervisors, instances and policies",
)
def test_modify(vcluster: VirtualCluster) -> None:
    info = _modify(
        vcluster,
        "--candidate-pool-size=7",
        "--max-running-jobs=9",
        "--max-tracked-jobs=30",
        "--maintain-node-health=yes",
        "--mac-prefix=aa:00:11",
        "--master-netmask=32",
        "--default-iallocator=",
        "--prealloc-wipe-disks=yes",
        "--uid-pool=4000-4009",
        "--reserved-lvs=",
        "--node-parameters=spindle_count=5",
        "--nic-parameters=mode=routed,link=100",
        "--backend-parameters=vcpus=3",
        "--hypervisor-parameters=fake:migration_mode=live",
        "--ipolicy-vcpu-ratio=3.5",
        "--ipolicy-disk-templates=diskless,file",
    )
    assert info["candidate_pool_size"] == 7
    assert info["max_running_jobs"] == 9
    assert info["max_tracked_jobs"] == 30
    assert info["maintain_node_health"] is True
    assert info["mac_prefix"] == "aa:00:11"
    assert info["default_iallocator"] == ""
    assert info["prealloc_wipe_disks"] is True
    assert info["uid_pool"] == [[4000, 4009]]
    assert info["ndparams"]["spindle_count"] == 5
    assert info["ndparams"]["ssh_port"] == vcluster.parts.site.ssh_port
    assert info["nicparams"]["default"] == {**info["nicparams"]["default"], "mode": "routed", "link": "100"}
    assert info["beparams"]["default"]["vcpus"] == 3
    assert info["ipolicy"]["vcpu-ratio"] == 3.5
    assert info["ipolicy"]["disk-templates"] == ["diskless", "file"]
    shown = vcluster.run("gnt-cluster", "info").stdout
    assert "candidate pool size: 7" in shown
    pool = _modify(vcluster, "--add-uids=4020", "--remove-uids=4000-4009")["uid_pool"]
    assert pool == [[4020, 4020]]
    assert vcluster.verify() == []


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "another disk template is enabled while it runs; a storage path that the nodes do not accept is found by verify",
    because=("file-storage-files",),
)
def test_modify_storage(vcluster: VirtualCluster) -> None:
    templates = "diskless,file,sharedfile"
    options = (f"--enabled-disk-templates={templates}", f"--ipolicy-disk-templates={templates}")
    assert _modify(vcluster, *options)["enabled_disk_templates"] == templates.split(",")
    assert vcluster.add_instance("instance1", "sharedfile", primary="node2").status == "running"

    _modify(vcluster, "--file-storage-dir=/srv/elsewhere", "--enabled-data-collectors=cpu-avg-load=no")
    told = {(problem.code, problem.item) for problem in vcluster.verify()}
    assert told == {("ENODEFILESTORAGEPATHUNUSABLE", node.name) for node in vcluster.nodes}
    shown = vcluster.run("gnt-cluster", "info").stdout
    assert "file storage path: /srv/elsewhere" in shown
    assert shown.split("cpu-avg-load:")[1].split()[:2] == ["active:", "False"]
    # Ganeti compares the names of the collectors, not their intervals (lib/client/gnt_cluster.py, SetClusterParams:
    # `any(v <= 0 for v in data_collector_interval)`; so it is in 3.1.1).
    result = vcluster.run("gnt-cluster", "modify", "--data-collector-interval=cpu-avg-load=9", check=False)
    assert "TypeError: '<=' not supported between instances of 'str' and 'int'" in result.stderr


@pytest.mark.vcluster(nodes=2)
@shows("cluster", "a modification without any, or of something that cannot be, is refused")
def test_modify_refused(vcluster: VirtualCluster) -> None:
    for options, told in (
        ((), "Please give at least one of the parameters"),
        (("--mac-prefix=nonsense",), "nonsense"),
        (("--enabled-disk-templates=nonsense",), "nonsense"),
        (("--enabled-hypervisors=xen-pvm",), "Hypervisor parameter validation failed on node"),
        (("--candidate-pool-size=0",), "candidate"),
        (("--default-iallocator=nonsense",), "Invalid default iallocator script 'nonsense'"),
    ):
        result = vcluster.run("gnt-cluster", "modify", *options, check=False)
        assert result.returncode, options
        assert told in result.stdout + result.stderr, result
    assert vcluster.luxi.query_cluster_info()["enabled_hypervisors"] == ["fake"]


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "it is renamed to a name with an address of its own, and back; the master IP goes along",
    because=("truthful-ping", "closed-names"),
)
def test_rename(vcluster: VirtualCluster) -> None:
    old_ip = vcluster.ip
    vcluster.rename("other")
    assert vcluster.name == "other.vc"
    assert vcluster.ip != old_ip
    assert vcluster.master.holds_master_ip
    assert vcluster.luxi.query_cluster_info()["name"] == vcluster.rapi.info()["name"] == "other.vc"
    assert vcluster.run("gnt-cluster", "command", "echo reached").stdout.count("reached") == 2
    assert vcluster.verify() == []

    snapshot = vcluster.snapshot()

    # A name clash: the address of that name is a node's, which answers.
    for name, told in (
        ("node2", "is reachable on the network"),
        ("other", "Neither the name nor the IP address of the cluster has changed"),
        ("nowhere", UNKNOWN_NAME),
    ):
        with pytest.raises(CommandFailed) as caught:
            vcluster.run("gnt-cluster", "rename", "--force", name)
        assert re.search(told, caught.value.seen)
    vcluster.rename("cluster")
    assert (vcluster.name, vcluster.ip) == ("cluster.vc", old_ip)
    vcluster.restore(snapshot)
    assert vcluster.name == vcluster.rapi.info()["name"] == "other.vc"
    assert vcluster.master.holds_master_ip


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "the master IP is taken down and brought up; master-ping and getmaster answer",
    because=("installation-paths",),
)
def test_master_ip(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-cluster", "deactivate-master-ip", "--yes")
    assert [node.name for node in vcluster.nodes if node.holds_master_ip] == []
    problems = vcluster.verify()
    assert problems
    assert all("master IP" in problem.message for problem in problems)
    vcluster.run("gnt-cluster", "activate-master-ip")
    assert [node.name for node in vcluster.nodes if node.holds_master_ip] == [vcluster.master.name]
    assert vcluster.run("gnt-cluster", "getmaster").stdout.strip() == vcluster.master.name
    vcluster.run("gnt-cluster", "master-ping")
    assert vcluster.node("node2").run("gnt-cluster", "master-ping", check=False).returncode == 1


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "repair-disk-sizes puts right the size that the configuration has of a disk that was grown behind it",
    because=("file-storage-files",),
)
@shows(
    "cluster",
    "verify-disks brings up the disks of an instance that should run",
    because=("file-storage-files",),
)
@shows("cluster", "verify misses a disk that is gone", because=("file-storage-files",))
def test_disks(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("instance1", "file", primary="node2", disks=[{"size": 16}])
    [disk] = vcluster.node("node2").path("/srv/ganeti/file-storage/instance1.vc").iterdir()
    with disk.open("r+b") as stream:
        stream.truncate(48 << 20)
    told = vcluster.run("gnt-cluster", "repair-disk-sizes").stdout
    assert "instance1.vc" in told
    assert instance.field("disk.sizes") == [48]
    assert "No disks need to be activated" in vcluster.run("gnt-cluster", "verify-disks").stdout
    disk.rename(disk.with_name("elsewhere"))
    problems = vcluster.verify()
    assert any("instance1.vc" in problem.item for problem in problems)


@pytest.mark.vcluster(nodes=2)
@shows("cluster", "an upgrade to a version that the nodes do not have, to itself, or to nonsense is refused")
def test_upgrade(vcluster: VirtualCluster) -> None:
    series = vcluster.ganeti.series
    for options, told in (
        ((), "Precisely one of the options --to and --resume has to be given"),
        (("--to=nonsense",), "Could not parse version string nonsense"),
        (("--to=2.0",), "Cannot upgrade to 2.0"),
        (("--to=3.9",), "Ganeti version 3.9 not installed on nodes"),
    ):
        result = vcluster.run("gnt-cluster", "upgrade", *options, check=False)
        assert result.returncode == 1, options
        assert told in result.stdout + result.stderr, result
    assert vcluster.run("gnt-cluster", "upgrade", "--resume").returncode == 0
    assert vcluster.run("gnt-cluster", "version").stdout.startswith(f"Software version: {series}")


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster", "an emergency power-off is refused for the master, and for nodes without an out-of-band helper"
)
def test_epo_without_helper(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("instance1", primary="node2")
    for arguments, told in (
        (("node1",), "node1.vc is the master node, please do a master-failover"),
        (("node2",), "Node node2.vc does not support out-of-band handling"),
        (("--all", "node2"), "Arguments in combination with --all are not allowed"),
        (("--all", "--groups"), "Only one of --groups or --all are allowed"),
    ):
        result = vcluster.run("gnt-cluster", "epo", *arguments, check=False)
        assert result.returncode == 1, arguments
        assert told in result.stdout + result.stderr, result
    # With --force it does what it can: the instances are stopped, and started again.
    vcluster.run("gnt-cluster", "epo", "--force", "node2")
    assert instance.status == "ERROR_down"
    vcluster.run("gnt-cluster", "epo", "--on", "--force", "node2")
    assert instance.status == "running"


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster", "an emergency power-off stops the instances of nodes and switches these off by their helper"
)
@shows("cluster", "after it instances are started again, once their nodes have been switched on one by one")
def test_epo(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-cluster", "modify", f"--node-parameters=oob_program={vcluster.oob_program}")
    instance = vcluster.add_instance("instance1", primary="node2")
    node = vcluster.node("node2")

    def listed() -> list[str]:
        return vcluster.run(
            "gnt-node", "list", "--no-headers", "-o", "powered,offline", "node2"
        ).stdout.split()

    vcluster.run("gnt-cluster", "epo", "--force", "node2")
    assert not node.is_on
    assert listed() == ["N", "N"]
    assert instance.status == "ERROR_nodedown"

    # Ganeti switches nodes off again where it is to switch them on, and waits for them then, a quarter of an hour
    # (lib/client/gnt_cluster.py, _EpoOn: `_OobPower(opts, node_list, False)`; so it is in 3.1.1).
    result = vcluster.run("gnt-cluster", "epo", "--on", "--force", "node2", check=False, timeout=2)
    assert result.timed_out
    assert vcluster.jobs()[-1].opcodes[0]["command"] == "power-off"
    assert [one.name for one in vcluster.nodes if one.is_on] == ["node1.vc"]

    vcluster.run("gnt-node", "power", "on", "node2")
    told = vcluster.run("gnt-cluster", "epo", "--on", "--force", "node2").stdout
    assert "Node node2.vc is already in desired power state, skipping" in told
    assert "Node node2.vc became available" in told
    assert instance.status == "running"

    # With all of them it stops at the master, as the opcode does not know whose power-off it is (lib/cmdlib/misc.py).
    result = vcluster.run("gnt-cluster", "epo", "--all", "--force", check=False)
    assert result.returncode == 1
    assert "Operating on the master node node1.vc is not allowed for power-off" in result.stderr
    assert vcluster.master.is_on
    # Down, though it is to run: a power-off is not to be remembered.
    assert instance.status == "ERROR_down"


@pytest.mark.vcluster(nodes=2)
@shows(
    "cluster",
    "it is destroyed once it is empty: its daemons end, its files go, and the handle still resets it",
)
def test_destroy(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("instance1", primary="node1", start=False)
    for told, next_step in (
        ("There are still 1 node(s) in this cluster", ("gnt-node", "remove", "node2")),
        (
            "There are still 1 instance(s) in this cluster",
            ("gnt-instance", "remove", "--force", instance.name),
        ),
    ):
        result = vcluster.run("gnt-cluster", "destroy", "--yes-do-it", check=False)
        assert told in result.stderr, result
        vcluster.run(*next_step)
    assert vcluster.run("gnt-cluster", "destroy", check=False).returncode == 1
    master = vcluster.master
    vcluster.run("gnt-cluster", "destroy", "--yes-do-it")
    until(lambda: not master.daemons, "all daemons of the master have ended")
    assert not master.path("/var/lib/ganeti/config.data").exists()
    assert not master.holds_master_ip
    with pytest.raises(LuxiError, match="there is no such socket"):
        attrs.evolve(vcluster.luxi, connect_timeout=0.1).query_cluster_info()
    assert vcluster.name == "cluster.vc"

    assert vcluster.reset().how == "restored"
    assert vcluster.verify() == []
    assert [node.name for node in vcluster.nodes] == ["node1.vc", "node2.vc"]


@pytest.mark.vcluster(nodes=2)
@shows("cluster", "verify tells of a dead node, and of a file that differs on a node")
def test_verify(vcluster: VirtualCluster) -> None:
    other = vcluster.node("node2")
    certificate = other.path("/var/lib/ganeti/rapi.pem")
    certificate.chmod(0o600)
    certificate.write_text(certificate.read_text(encoding="ascii") + "\n", encoding="ascii")
    problems = vcluster.verify()
    assert [problem.code for problem in problems] == ["ECLUSTERFILECHECK"]
    assert "rapi.pem" in problems[0].message
    other.run("daemon-util", "stop", "ganeti-noded")
    assert "ENODERPC" in [problem.code for problem in vcluster.verify() if problem.item == other.name]
