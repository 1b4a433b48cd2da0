"""Ganeti's commands: on the master, on another node, with options that change what they do, and used wrongly."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from tests.rows.queue_jobs import PATIENCE
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3)

#: Every command with something to look at, and a word of what it tells of the cluster that the tests here have.
_LOOKS = (
    ("gnt-backup list", "Node"),
    ("gnt-backup list-fields", "export"),
    ("gnt-cluster info", "Cluster name: cluster.vc"),
    ("gnt-cluster version", "Software version: "),
    ("gnt-cluster getmaster", "node1.vc"),
    ("gnt-cluster show-ispecs-cmd", "gnt-cluster init --ipolicy-std-specs"),
    ("gnt-debug locks", "Name"),
    ("gnt-filter list", "UUID"),
    ("gnt-filter list-fields", "predicates"),
    ("gnt-group info", "Node group: default"),
    ("gnt-group list", "default"),
    ("gnt-group list-fields", "alloc_policy"),
    ("gnt-instance info instance1", "Instance name: instance1.vc"),
    ("gnt-instance list", "instance1.vc"),
    ("gnt-instance list-fields", "oper_ram"),
    ("gnt-job info 1", "CLUSTER_POST_INIT"),
    ("gnt-job list", "success"),
    ("gnt-job list-fields", "Summary"),
    ("gnt-network info net1", "192.0.2.0/24"),
    ("gnt-network list", "net1"),
    ("gnt-network list-fields", "gateway"),
    ("gnt-node info node2", "Node name: node2.vc"),
    ("gnt-node list", "node3.vc"),
    ("gnt-node list-fields", "mfree"),
    ("gnt-node list-storage --storage-type=file", "/srv/ganeti/file-storage"),
    ("gnt-node volumes", "Node"),
    ("gnt-os diagnose", "dd"),
    ("gnt-os info dd", "dd:"),
    ("gnt-os list", "dd"),
)

_REFUSED = "This is not the master node, please connect to node 'node1.vc' and rerun the command"

#: One of each program, and those of `gnt-cluster` that go another way to the master daemons.
_FOR_THE_MASTER = (
    "gnt-backup list",
    "gnt-cluster info",
    "gnt-cluster verify",
    "gnt-cluster redist-conf",
    "gnt-cluster queue info",
    "gnt-cluster renew-crypto --force --new-cluster-certificate",
    "gnt-cluster destroy --yes-do-it",
    "gnt-debug delay 0.1",
    "gnt-filter list",
    "gnt-group list",
    "gnt-instance list",
    "gnt-job list",
    "gnt-network list",
    "gnt-node list",
    "gnt-os list",
    "gnt-storage diagnose",
)


@shows("CLI", "every command that lists or tells something does so on the master")
def test_commands_that_look(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-network", "add", "--network=192.0.2.0/24", "net1")
    vcluster.add_instance("instance1", start=False)
    for command, word in _LOOKS:
        assert word in vcluster.run(*command.split()).stdout, command


@shows("CLI", "on another node each is refused, and told where the master is; a few answer there")
def test_commands_on_another_node(vcluster: VirtualCluster) -> None:
    other = vcluster.node("node2")
    for command in _FOR_THE_MASTER:
        result = other.run(*command.split(), check=False)
        assert result.returncode == 1, command
        assert _REFUSED in result.stderr, command
    result = other.run("gnt-cluster", "init", "again", check=False)
    assert (result.returncode, "Cluster is already initialised" in result.stderr) == (1, True)
    assert other.run("gnt-cluster", "getmaster").stdout == "node1.vc\n"
    assert other.run("gnt-cluster", "master-ping", check=False).returncode == 1
    assert vcluster.run("gnt-cluster", "master-ping").returncode == 0


@shows("CLI", "a node that is in no cluster says so")
def test_commands_where_there_is_no_cluster(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "remove", "node3")
    result = vcluster.node("node3").run("gnt-node", "list", check=False)
    assert result.returncode == 1
    assert "cluster" in result.stderr.lower()
    assert "initiali" in result.stderr


@shows("CLI", "--dry-run checks and changes nothing, --submit does not wait, --print-jobid tells the job")
def test_options_of_jobs(vcluster: VirtualCluster) -> None:
    told = vcluster.run("gnt-group", "add", "--submit", "--print-jobid", "rack1").stdout
    job = Job(int(told), lambda: vcluster.luxi)
    job.wait(PATIENCE)
    assert job.record().summary == ("GROUP_ADD(rack1)",)

    vcluster.run("gnt-group", "add", "--dry-run", "rack2")
    vcluster.run("gnt-node", "modify", "--dry-run", "--offline=yes", "node2")
    vcluster.run(
        "gnt-instance", "add", "--dry-run", "--disk-template=diskless", "--os-type=dd+default",
        "--no-name-check", "--no-ip-check", "--node=node2", "instance1",
    )  # fmt: skip
    assert vcluster.luxi.query("group", ["name"]).column("name") == ["default", "rack1"]
    assert vcluster.luxi.query("node", ["name"], ["?", "offline"]).rows == []
    assert vcluster.instances == []
    # What the check finds is told by a dry run, too.
    result = vcluster.run("gnt-group", "add", "--dry-run", "rack1", check=False)
    assert "Desired group name 'rack1' already exists" in result.stderr


@shows("CLI", "output as a script wants it: fields, separator, units, filters")
def test_output_for_scripts(vcluster: VirtualCluster) -> None:
    def listed(*options: str) -> list[str]:
        return vcluster.run("gnt-node", "list", "--no-headers", "--separator=|", *options).lines

    assert listed("-o", "name,role") == ["node1.vc|M", "node2.vc|C", "node3.vc|C"]
    assert listed("-o", "name", "node3", "node2") == ["node3.vc", "node2.vc"]
    assert listed("-o", "name", "--filter", 'role == "M" or name =~ m/3/') == ["node1.vc", "node3.vc"]
    assert listed("-o", "+role", "node1")[0].endswith("|M")
    [figure] = listed("-o", "mtotal", "--units=m", "node1")
    assert figure.isdigit()


@shows("CLI", "wrong commands, options, arguments, fields and filters are told apart")
def test_used_wrongly(vcluster: VirtualCluster) -> None:
    for command, status, told in (
        ("gnt-nonsense", 127, "gnt-nonsense: command not found"),
        ("gnt-cluster nonsense", 1, "gnt-cluster {command} [options...] [argument...]"),
        ("gnt-cluster info extra", 1, "Error: Command info expects no arguments"),
        ("gnt-cluster info --nonsense", 2, "error: no such option: --nonsense"),
        ("gnt-instance add", 1, "Error: Command add expects 1 argument(s)"),
        ("gnt-instance info nonsense", 1, "Instance 'nonsense' not known"),
        ("gnt-instance list --filter name==", 1, "Failed to parse query filter"),
        ("gnt-instance remove --force nonsense", 1, "Instance 'nonsense' not known"),
        ("gnt-node list nonsense", 1, "nonsense"),
        ("gnt-node list -o name,nonsense", 14, "Warning: Queried for unknown fields nonsense"),
        ("gnt-group add default", 1, "Desired group name 'default' already exists"),
        # There is no external storage here, which Ganeti takes for a failure (lib/client/gnt_storage.py).
        ("gnt-storage diagnose", 1, "Can't get the list of ExtStorage providers"),
        ("gnt-os info nonsense", 0, "nonsense:"),
    ):
        result = vcluster.run(*command.split(), check=False)
        assert told in result.stdout + result.stderr, result
        assert result.returncode == status, result


@shows("CLI", "an offline node is listed with its data unknown, and commands for it are refused")
def test_commands_with_an_offline_node(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    lines = vcluster.run("gnt-node", "list", "--no-headers", "-o", "name,mfree,role").lines
    assert lines[2].split() == ["node3.vc", "*", "O"]
    result = vcluster.run(
        "gnt-instance", "add", "--disk-template=diskless", "--os-type=dd+default", "--no-name-check",
        "--no-ip-check", "--node=node3", "instance1", check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "Cannot use offline primary node 'node3.vc'" in result.stderr
    told = vcluster.run("gnt-cluster", "command", "echo here").stdout
    assert told.count("here") == 2
