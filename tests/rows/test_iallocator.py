"""Iallocators decide where instances go: hail, and a user's own; what becomes of one that misbehaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

CREATE = {
    "OP_ID": "OP_INSTANCE_CREATE",
    "mode": "create",
    "disk_template": "diskless",
    "disks": [],
    "nics": [],
    "os_type": "dd+default",
    "hypervisor": "fake",
    "ip_check": False,
}

#: Puts what it is asked into the master's /root, and each new instance onto the last node.
LAST_NODE = """
    #!/usr/bin/env python3
    import json, os, sys

    with open(sys.argv[1]) as file:
        asked = json.load(file)
    with open(os.environ.get("GANETI_ROOTDIR", "") + "/root/asked", "w") as file:
        json.dump([sys.argv[2:], asked], file)
    print(json.dumps({"success": True, "info": "the last one", "result": [sorted(asked["nodes"])[-1]]}))
"""


def answering(result: Any, info: str = "my reason", *, success: bool = True) -> str:
    """Give an iallocator that always answers the same."""
    answer = json.dumps({"success": success, "info": info, "result": result})
    return f"cat <<'EOF'\n{answer}\nEOF\n"


def placed(cluster: VirtualCluster) -> dict[str, str]:
    """Give the primary nodes of all instances."""
    return {row["name"]: row["pnode"] for row in cluster.luxi.query("instance", ["name", "pnode"]).rows}


@shows(
    "iallocator",
    "a user's own script is asked, when it is named and as the cluster's default, with its parameters",
    because=("search-paths",),
)
def test_own_script(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_iallocator("last-node", LAST_NODE)
    web = vcluster.add_instance("web", "file", iallocator="last-node", memory=96, tags=["shop"])
    assert web.primary.name == "node3.vc"
    arguments, asked = json.loads(vcluster.master.path("/root/asked").read_text(encoding="utf-8"))
    assert arguments == []
    assert sorted(asked["nodes"]) == [node.name for node in vcluster.nodes]
    request = asked["request"]
    wanted = {"type": "allocate", "name": "web.vc", "memory": 96, "required_nodes": 1, "tags": ["shop"]}
    assert {name: request[name] for name in wanted} == wanted
    assert [disk["size"] for disk in request["disks"]] == [16]

    vcluster.run(
        "gnt-cluster",
        "modify",
        "--default-iallocator=last-node",
        "--default-iallocator-params=no-capacity-checks=yes",
    )
    assert vcluster.default_iallocator == "last-node"
    vcluster.add_name("next.vc")
    vcluster.run("gnt-instance", "add", "-t", "diskless", "-o", "dd+default", "--no-ip-check", "next.vc")
    assert placed(vcluster) == {"web.vc": "node3.vc", "next.vc": "node3.vc"}
    arguments, asked = json.loads(vcluster.master.path("/root/asked").read_text(encoding="utf-8"))
    assert arguments == ["--no-capacity-checks=yes"]
    # It sees what there is by now.
    assert asked["instances"]["web.vc"]["nodes"] == ["node3.vc"]
    # Ganeti's own way to try one out.
    options = ("--iallocator=last-node", "--mode=allocate", "--os-type=dd", "--disk-template=file")
    said = vcluster.run("gnt-debug", "iallocator", "--dir=out", *options, "trial.vc")
    assert json.loads(said.stdout)["result"] == ["node3.vc"]


@shows(
    "iallocator",
    "one that fails, says no, answers garbage, too little or an unknown node, or is not there: a failed job",
)
def test_misbehaving_scripts(vcluster: VirtualCluster) -> None:
    scripts = {
        "fails": "echo no idea >&2; exit 9",
        "refuses": answering([], success=False),
        "babbles": "echo node2.vc",
        "lists": "echo '[1]'",
        "forgets": 'echo \'{"success": true, "info": ""}\'',
        "counts": answering(["node1.vc", "node2.vc"]),
        "dreams": answering(["node9.vc"]),
    }
    told = {
        "fails": (
            "OpExecError",
            "iallocator module 'fails' failed: exited with exit code 9, output 'no idea",
        ),
        "refuses": ("OpPrereqError", "Can't compute nodes using iallocator 'refuses': my reason"),
        "babbles": ("OpExecError", "Can't parse iallocator results: "),
        "lists": ("OpExecError", "Can't parse iallocator results: not a dict"),
        "forgets": ("OpExecError", "Can't parse iallocator results: missing key 'result'"),
        "counts": ("ResultValidationError", "iallocator returned invalid number of nodes (2), required 1"),
        "dreams": ("OpPrereqError", "Node 'node9.vc' not known"),
        "absent": ("OpExecError", "iallocator module 'absent' not found in the search path"),
    }
    for name, script in scripts.items():
        vcluster.scripts.add_iallocator(name, script)
    jobs = {name: vcluster.submit({**CREATE, "instance_name": "web.vc", "iallocator": name}) for name in told}
    for name, (kind, message) in told.items():
        with pytest.raises(JobFailed) as caught:
            jobs[name].wait(TIMEOUT)
        assert (caught.value.kind, message in caught.value.error) == (kind, True), caught.value
    assert vcluster.instances == []


@shows("iallocator", "several instances at once: hail spreads them, a user's own script may leave some out")
def test_multi_allocation(vcluster: VirtualCluster) -> None:
    def ask(iallocator: str, *names: str, memory: int = 128) -> Any:
        wanted = [{**CREATE, "instance_name": f"{name}.vc", "beparams": {"memory": memory}} for name in names]
        op = {"OP_ID": "OP_INSTANCE_MULTI_ALLOC", "instances": wanted, "iallocator": iallocator}
        [result] = vcluster.submit(op).wait(TIMEOUT)
        vcluster.wait_idle()
        return result

    names = ("anna", "berta", "carla")
    for name in names:
        vcluster.add_name(name)
    fields = {name: value for name, value in CREATE.items() if name != "OP_ID"}
    definitions = [{**fields, "instance_name": vcluster.full_name(name)} for name in names]
    vcluster.master.path("/root/instances.json").write_text(json.dumps(definitions), encoding="ascii")
    file = vcluster.master.seen_path("/root/instances.json")
    told = vcluster.run("gnt-instance", "batch-create", "--iallocator=hail", file)
    assert "All instances created successfully." in told.stdout
    assert sorted(placed(vcluster).values()) == [node.name for node in vcluster.nodes]

    # For hail all are refused where one is (src/Ganeti/HTools/Cluster.hs:679).
    with pytest.raises(JobFailed, match="No valid allocation solutions, failure reasons: FailMem: 3"):
        ask("hail", "dora", "emma", memory=1 << 40)

    vcluster.scripts.add_iallocator("picky", answering([[["dora.vc", ["node3.vc"]]], ["emma.vc"]]))
    result = ask("picky", "dora", "emma")
    assert (result["allocatable"], result["failed"]) == (["dora.vc"], ["emma.vc"])
    assert placed(vcluster)["dora.vc"] == "node3.vc"
    assert "emma.vc" not in placed(vcluster)


@shows("iallocator", "node evacuate moves what runs on a node, as hail or a user's own script says")
def test_node_evacuation(vcluster: VirtualCluster) -> None:
    for name in ("anna", "berta"):
        vcluster.add_instance(name, primary="node2")
    vcluster.run("gnt-node", "evacuate", "--primary-only", "--force", "node2")
    where = placed(vcluster)
    assert sorted(where.values()) == ["node1.vc", "node3.vc"], "hail spreads them"
    assert {one.status for one in vcluster.instances} == {"running"}

    # A user's own script decides by jobs of its own.
    moved = [["anna.vc", "default", ["node2.vc"]]]
    migrate = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": "anna.vc", "target_node": "node2.vc"}
    vcluster.scripts.add_iallocator("back", answering([moved, [], [[migrate]]]))
    vcluster.run("gnt-node", "evacuate", "--primary-only", "--force", "-I", "back", where["anna.vc"])
    assert placed(vcluster) == {**where, "anna.vc": "node2.vc"}

    # Disks of one node only stay where they are.
    vcluster.add_instance("carla", "file", primary="node2")
    with pytest.raises(CommandFailed) as caught:
        vcluster.run("gnt-node", "evacuate", "--primary-only", "--force", "node2")
    assert "Unable to evacuate instances" in caught.value.seen
    assert "carla.vc (Instances of type file cannot be relocated)" in caught.value.seen
    assert placed(vcluster)["anna.vc"] == "node2.vc"


@shows(
    "iallocator",
    "change-group moves an instance to another node group, or says why it cannot",
)
def test_change_of_group(vcluster: VirtualCluster) -> None:
    def change(target_groups: list[str] | None = None) -> None:
        op = {"OP_ID": "OP_INSTANCE_CHANGE_GROUP", "instance_name": "anna.vc"}
        vcluster.submit({**op, "target_groups": target_groups} if target_groups else op).wait(TIMEOUT)
        vcluster.wait_idle()

    vcluster.add_instance("anna", primary="node1")
    with pytest.raises(JobFailed, match="There are no possible target groups"):
        change()
    vcluster.run("gnt-group", "add", "remote")
    with pytest.raises(JobFailed, match=r"Unable to evacuate instances anna\.vc"):
        change()
    vcluster.run("gnt-group", "assign-nodes", "remote", "node2", "node3")
    # A group that has one node cannot lose it: hail minds, unless it is told not to.
    with pytest.raises(JobFailed, match="No valid allocation solutions, failure reasons: FailN1: 2"):
        change()
    # Not by gnt-cluster: an option without a value is a null, which a command line cannot say (noded.py:1114).
    lenient = {"no-capacity-checks": None}
    vcluster.submit({"OP_ID": "OP_CLUSTER_SET_PARAMS", "default_iallocator_params": lenient}).wait(TIMEOUT)
    change(["remote"])
    assert placed(vcluster)["anna.vc"] in {"node2.vc", "node3.vc"}
    change(["default"])
    assert (placed(vcluster), vcluster.instance("anna").status) == ({"anna.vc": "node1.vc"}, "running")
    # Ganeti's own fault: it asserts that it has locks that it has not yet asked for (lib/cmdlib/group.py:723; other
    # units set dont_collate_locks, lib/mcpu.py:578). 3.1.1 has it too. Nothing is moved.
    with pytest.raises(JobFailed, match="failed in OP_GROUP_EVACUATE"):
        vcluster.submit({"OP_ID": "OP_GROUP_EVACUATE", "group_name": "default"}).wait(TIMEOUT)
    assert "assert self.group_uuid in owned_groups" in vcluster.master.path(
        "/var/log/ganeti/jobs.log"
    ).read_text(encoding="utf-8")
    assert placed(vcluster) == {"anna.vc": "node1.vc"}


@shows(
    "iallocator", "hail passes over nodes that are drained, offline or not for instances, until none is left"
)
def test_nodes_that_take_nothing(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "modify", "--vm-capable=no", "node1")
    vcluster.run("gnt-node", "modify", "--drained=yes", "--auto-promote", "node2")
    web = vcluster.add_instance("web")
    assert web.primary.name == "node3.vc"
    vcluster.run("gnt-node", "modify", "--offline=yes", "--auto-promote", "node3")
    with pytest.raises(JobFailed, match="Can't compute nodes using iallocator 'hail'") as caught:
        vcluster.add_instance("other")
    assert caught.value.kind == "OpPrereqError"
    assert [one.name for one in vcluster.instances] == ["web.vc"]
