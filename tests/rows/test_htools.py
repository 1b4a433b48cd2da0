"""Row "HTools": Ganeti's planning tools on a live cluster, over LUXI, RAPI and text files."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.leaks import settle
from tests.rows.figures import add_instances, figures
from tests.rows.showing import shows

ROW = "HTools"
OWN = ("node-report",)
STORED = ("file-storage-files",)

#: What the tools move are instances that any node can take over (src/Ganeti/HTools/Instance.hs: movableDiskTemplates).
pytestmark = pytest.mark.vcluster(disk_templates=("diskless", "file", "sharedfile"))


@pytest.fixture
def unequal(vcluster: VirtualCluster) -> VirtualCluster:
    """node2 has twice the memory and CPUs of node1, node3 half of them."""
    for node, factor in zip(vcluster.nodes, (2, 4, 1)):
        node.set_capacity(memory=2048 * factor, cpus=2 * factor, disk=5120 * factor)
    return vcluster


def rapi_url(cluster: VirtualCluster, password: str | None = None) -> str:
    """Give what the tools' --master takes; user and password are in it."""
    access = cluster.rapi_access
    return f"https://{access.username}:{quote(password or access.password)}@{cluster.master.ip}:5080"


def primaries(cluster: VirtualCluster) -> dict[str, str]:
    return {row["name"]: row["pnode"] for row in cluster.luxi.query("instance", ["name", "pnode"]).rows}


def shell_variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def table(text: str) -> list[str]:
    """Give the lines about nodes in what the tools print for -p (to standard error)."""
    return [
        line for line in text.splitlines() if line.split()[:1] and re.fullmatch(r"node\d", line.split()[0])
    ]


@shows(ROW, "hbal -L balances, hbal -X really moves the instances", because=OWN)
@shows("node report", "hbal levels nodes of unequal size", because=OWN)
def test_hbal_moves_instances(unequal: VirtualCluster) -> None:
    add_instances(unequal, 3, primary="node3", template="sharedfile")
    assert figures(unequal, "mfree") == [(4096,), (8192,), (512,)]
    plan = unequal.run("hbal", "-L", "--print-commands").stdout
    assert "gnt-instance migrate -f -n node2" in plan
    assert set(primaries(unequal).values()) == {"node3.vc"}

    over_rapi = unequal.run("hbal", "-X", "-m", rapi_url(unequal), check=False)
    assert (over_rapi.returncode, "possible only on LUXI" in over_rapi.stderr) == (1, True)

    done = unequal.run("hbal", "-L", "-X").stdout
    assert done.count("Got job IDs") == 2
    assert sorted(primaries(unequal).values()) == ["node1.vc", "node2.vc", "node3.vc"]
    assert figures(unequal, "mfree") == [(3584,), (7680,), (1536,)]
    assert {instance.status for instance in unequal.instances} == {"running"}
    assert "Solution length=0" in unequal.run("hbal", "-L").stdout


@shows(ROW, "hbal fails instances of an offline node over, and hcheck tells of them", because=STORED)
def test_offline_node_is_evacuated(unequal: VirtualCluster) -> None:
    add_instances(unequal, 2, primary="node2", template="sharedfile")
    unequal.run("gnt-node", "modify", "--offline=yes", "node2")
    assert unequal.instance("instance1").status == "ERROR_nodeoffline"
    sick = unequal.run("hcheck", "-L", check=False)
    assert sick.returncode == 1
    assert "Instances having the primary node offline: 2" in sick.stdout

    assert "gnt-instance failover -f" in unequal.run("hbal", "-L", "--print-commands").stdout
    unequal.run("hbal", "-L", "-X")
    assert "node2.vc" not in primaries(unequal).values()
    assert {instance.status for instance in unequal.instances} == {"running"}
    assert "primary node offline: 0" in unequal.run("hcheck", "-L", check=False).stdout


@shows(ROW, "hinfo, hcheck and hbal say the same over LUXI, over RAPI and of hscan's text files", because=OWN)
@shows("disk query", "HTools see each node's own total and free", because=STORED)
def test_every_source_says_the_same(unequal: VirtualCluster) -> None:
    add_instances(unequal, 1, primary="node2", template="file")
    url = rapi_url(unequal)
    unequal.run("hscan", "-L", "-d", ".")
    unequal.run("hscan", "-d", ".", url)
    home = unequal.master.path("/root")
    text = (home / "LOCAL.data").read_text(encoding="utf-8")
    assert (home / f"{url.replace('/', '_')}.data").read_text(encoding="utf-8") == text
    rows = [line.split("|") for line in text.splitlines()]
    # mtotal, mnode, mfree, dtotal, dfree, ctotal (src/Ganeti/HTools/Backend/Text.hs: serializeNode)
    assert [row[1:7] for row in rows if row[0].startswith("node")] == [
        ["4096", "0", "4096", "10240", "10240", "4"],
        ["8192", "0", "7680", "20480", "19456", "8"],
        ["2048", "0", "2048", "5120", "5120", "2"],
    ]
    for tool in ("hinfo", "hcheck", "hbal"):
        told = {
            unequal.run(tool, *source, check=False).stdout
            for source in (("-L",), ("-m", url), ("-t", "LOCAL.data"))
        }
        assert len(told) == 1, tool
        assert ("Loaded 3 nodes, 1 instance" in told.pop()) == (tool != "hcheck")
    assert "Healthy: 1" in unequal.run("harep", "-L").stdout


@shows(ROW, "hspace counts what still fits, as nodes grow and instances come", because=OWN)
def test_hspace_counts_what_fits(unequal: VirtualCluster) -> None:
    def space() -> dict[str, str]:
        alloc = ("--disk-template=sharedfile", "--standard-alloc=1024,512,1", "--no-capacity-checks")
        return shell_variables(unequal.run("hspace", "-L", "--machine-readable", *alloc).stdout)

    empty = space()
    total = {name: int(empty[f"HTS_CLUSTER_{name}"]) for name in ("MEM", "DSK", "CPU")}
    assert total == {"MEM": 14336, "DSK": 35840, "CPU": 14}
    # Nothing may be left of a node's memory with an instance more: 7, 15 and 3 instances of 512 MiB.
    assert (empty["HTS_INI_INST_CNT"], empty["HTS_ALLOC_INSTANCES"]) == ("0", "25")
    add_instances(unequal, 2, primary="node1", template="sharedfile")
    assert (space()["HTS_INI_INST_CNT"], space()["HTS_ALLOC_INSTANCES"]) == ("2", "23")
    # With memory for 7, node3 takes the 6 that its virtual CPUs are enough for: 4 times 2, less the node's own 2.
    unequal.node("node3").set_capacity(memory=4096)
    assert space()["HTS_ALLOC_INSTANCES"] == "26"


@shows(
    ROW,
    "hspace counts free disk where it plans for LVM",
    because=STORED,
)
def test_hspace_counts_disks(unequal: VirtualCluster) -> None:
    unequal.run("hscan", "-L", "-d", ".")
    data = unequal.master.path("/root/LOCAL.data")
    text = data.read_text(encoding="utf-8")
    # Of file storage the tools take it that no space is known (src/Ganeti/HTools/Instance.hs: localStorageTemplates).
    planned, count = re.subn(r"[a-z]+(,[a-z]+)+(?=\|4.0\|32.0$)", "plain", text, flags=re.MULTILINE)
    assert count == 2, "templates of the cluster's policy, and of its group's"
    data.write_text(planned, encoding="utf-8")
    alloc = ("--disk-template=plain", "--standard-alloc=4096,128,1", "--no-capacity-checks")
    space = shell_variables(unequal.run("hspace", "-t", "LOCAL.data", "--machine-readable", *alloc).stdout)
    assert space["HTS_ALLOC_FAIL_REASON"] == "FAILDISK"
    assert space["HTS_ALLOC_INSTANCES"] == "7"


#: An iallocator that keeps what Ganeti asks of it, and leaves the answer to hail.
# All of htools are one program; Debian has hail, and htools itself, where no PATH leads.
KEEPING = """\
#!/bin/sh
cp "$1" "$GANETI_ROOTDIR/root/request"
HTOOLS=hail exec hbal "$1"
"""


@shows(ROW, "hail answers a request that Ganeti wrote, by itself, too", because=OWN)
def test_hail_by_itself(unequal: VirtualCluster) -> None:
    script = unequal.master.path("/srv/ganeti/iallocators/keeping")
    script.write_text(KEEPING, encoding="utf-8")
    script.chmod(0o755)
    assert unequal.add_instance(memory=3072, vcpus=8, iallocator="keeping").primary.name == "node2.vc"

    request = unequal.master.path("/root/request")
    asked = json.loads(request.read_text(encoding="utf-8"))
    assert asked["nodes"]["node2.vc"]["free_memory"] == 8192

    def answer() -> dict[str, Any]:
        request.write_text(json.dumps(asked), encoding="utf-8")
        told: dict[str, Any] = json.loads(unequal.run("hbal", "request", env={"HTOOLS": "hail"}).stdout)
        return told

    assert (answer()["success"], answer()["result"]) == (True, ["node2.vc"])
    asked["nodes"]["node2.vc"]["free_memory"] = 1024
    assert not answer()["success"]
    assert "No valid allocation solutions, failure reasons:" in answer()["info"]
    # Beside the request, it takes a cluster from elsewhere.
    unequal.run("hscan", "-L", "-d", ".")
    other = unequal.run("hbal", "-t", "LOCAL.data", "request", env={"HTOOLS": "hail"})
    assert not json.loads(other.stdout)["success"]


@shows(ROW, "hroller names nodes that can be rebooted together, and where their instances go", because=STORED)
def test_hroller_plans_reboots(unequal: VirtualCluster) -> None:
    add_instances(unequal, 1, primary="node2", template="sharedfile")
    lines = unequal.run("hroller", "-L", "--print-moves", "--no-headers").lines
    groups = [line.split(",") for line in lines if not line.startswith(" ")]
    assert sorted(name for group in groups for name in group) == ["node1.vc", "node2.vc", "node3.vc"]
    assert groups[-1][-1] == "node1.vc", "the master is the last"
    assert [line.split()[0] for line in lines if line.startswith(" ")] == ["instance1.vc"]


@pytest.mark.slow
@shows(ROW, "hsqueeze -X empties a node, switches it off, and takes it back once it is on", because=OWN)
def test_hsqueeze_puts_nodes_aside(unequal: VirtualCluster) -> None:
    unequal.run("gnt-cluster", "modify", f"--node-parameters=oob_program={unequal.oob_program}")
    add_instances(unequal, 1, primary="node3", template="sharedfile")
    # Nothing can be moved from node2, which so stays.
    unequal.add_instance("stays", "file", primary="node2")

    assert unequal.run("hsqueeze", "-L", "-X").lines[:2] == ["'Nodes to offline'", "node3.vc"]
    assert figures(unequal, "offline", "powered", "tags")[2] == (True, False, ["htools:standby:auto"])
    assert not unequal.node("node3").is_on
    assert unequal.instance("instance1").status == "running"

    # It asks for the node to be taken back before it asks for its power (src/Ganeti/HTools/Node.hs:
    # genPowerOnOpCodes), which Ganeti refuses (lib/cmdlib/node.py: LUNodeSetParams.CheckPrereq).
    back = ("hsqueeze", "-L", "-X", "--minimal-resources=24", "--target-resources=30")
    failed = unequal.run(*back, check=False)
    assert failed.lines[:2] == ["'Nodes to online'", "node3.vc"]
    assert failed.returncode == 1
    with pytest.raises(JobFailed, match="needs to be turned on before its offline status can be reset"):
        unequal.jobs()[-1].wait(60)
    unequal.run("gnt-node", "power", "on", "node3")
    unequal.run(*back)
    assert figures(unequal, "offline", "mfree")[2] == (False, 2048)


@shows(ROW, "in a cluster of two node groups, hbal balances one and wants to know which", because=OWN)
def test_two_node_groups(unequal: VirtualCluster) -> None:
    unequal.run("gnt-group", "add", "rack2")
    unequal.run("gnt-group", "assign-nodes", "rack2", "node1")
    add_instances(unequal, 2, primary="node3", template="sharedfile")
    which = unequal.run("hbal", "-L", check=False)
    assert (which.returncode, "Found multiple node groups" in which.stderr) == (1, True)
    plan = unequal.run("hbal", "-L", "-G", "default", "--print-commands").stdout
    assert "Group size 2 nodes, 2 instances" in plan
    assert "migrate -f -n node2 " in plan
    assert "-n node1 " not in plan
    # Were node2 not there, nothing could be moved.
    assert "Nothing to do" in unequal.run("hbal", "-L", "-G", "default", "-O", "node2.vc").stdout
    assert "2 node groups" in unequal.run("hinfo", "-L").stdout


@pytest.mark.slow
@pytest.mark.vcluster(disk_templates=("diskless", "file"), daemons=("confd", "mond"))
@shows(ROW, "hbal and hinfo take the load of each node from its mond, and miss one that is not there")
def test_load_from_mond(vcluster: VirtualCluster) -> None:
    vcluster.add_instance(primary="node1")
    with_load = ("-L", "--mond=yes", "--exit-on-missing-mond-data")

    def missing() -> str:
        result = vcluster.run("hbal", *with_load, check=False)
        return result.stderr if result.returncode else ""

    # It takes mond two looks at the CPUs, 5 seconds apart, until it has something to tell.
    assert settle(missing, timeout=60.0) == ""
    cpu_load, memory_load = (
        [
            float(line.split()[column])
            for line in table(vcluster.run("hinfo", "-L", "--mond=yes", "-p").stderr)
        ]
        for column in (-4, -3)
    )
    # Nobody tells of memory: an instance counts as one.
    assert memory_load == [1.0, 0.0, 0.0]
    # All nodes have the machine's load.
    assert len(cpu_load) == 3
    assert min(cpu_load) > 0
    vcluster.node("node3").run("daemon-util", "stop", "ganeti-mond")
    assert "Didn't receive an answer by all MonDs" in missing()


@shows(ROW, "wrong credentials and a node that does not answer are refused, each with its reason")
def test_what_the_tools_refuse(vcluster: VirtualCluster) -> None:
    def refused(*argv: str) -> str:
        result = vcluster.run(*argv, check=False)
        assert result.returncode
        return result.stdout + result.stderr

    # Over https the tools check no certificate (src/Ganeti/HTools/Backend/Rapi.hs: curlOpts); who may read is RAPI's to
    # say, and ours lets in nobody without a password.
    assert "error CurlHttpReturnedError" in refused("hbal", "-m", rapi_url(vcluster, "wrong"))
    assert "error CurlHttpReturnedError" in refused("hinfo", "-m", vcluster.master.name)
    # Only the master has a socket to ask.
    elsewhere = vcluster.node("node2").run("hinfo", "-L", check=False)
    assert (elsewhere.returncode, "Network.Socket.connect: " in elsewhere.stderr) == (1, True)
    vcluster.node("node3").run("daemon-util", "stop", "ganeti-noded")
    assert "Node 'node3.vc', error while reading attribute 'mtotal': No data" in refused("hbal", "-L")
    assert "Node 'node3.vc', error while parsing data: key 'mtotal'" in refused(
        "hbal", "-m", rapi_url(vcluster)
    )
