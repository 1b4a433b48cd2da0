"""Hooks run where Ganeti says, as what it says, and can forbid what they are to watch."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.errors import JobFailed, SpecError
from tests.rows.identities import uuid_of
from tests.rows.recorded import calls, recording
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))


@shows(
    "hooks",
    "pre and post run on the master and the instance's node, with Ganeti's variables and the node's own data folder",
    because=("command-environment", "hooks-data-dir"),
)
def test_hooks_of_an_operation(vcluster: VirtualCluster) -> None:
    for phase in ("pre", "post"):
        vcluster.scripts.add_hook("instance-add", phase, recording(phase))
    vcluster.add_instance("web", "file", primary="node2", nics=[{}], tags=["shop"])
    master, second, third = vcluster.nodes
    for node in (master, second):
        [pre] = calls(node, "pre")
        [post] = calls(node, "post")
        assert pre["HOST"] == node.name
        # What makes a node of a process is not Ganeti's where nodes are machines.
        assert pre.get("GANETI_HOSTNAME") == (node.name if vcluster.engine == "loopback" else None)
        assert pre["GANETI_DATA_DIR"] == node.seen_path("/var/lib/ganeti")
        assert (pre["GANETI_HOOKS_PATH"], pre["GANETI_HOOKS_PHASE"]) == ("instance-add", "pre")
        assert (pre["GANETI_OP_CODE"], pre["GANETI_OBJECT_TYPE"]) == ("OP_INSTANCE_CREATE", "INSTANCE")
        assert (pre["GANETI_CLUSTER"], pre["GANETI_MASTER"]) == (vcluster.name, master.name)
        assert pre["GANETI_INSTANCE_NAME"] == "web.vc"
        assert pre["GANETI_INSTANCE_PRIMARY"] == second.name
        assert pre["GANETI_INSTANCE_TAGS"] == "shop"
        assert (pre["ARGUMENTS"], post["GANETI_HOOKS_PHASE"]) == ("", "post")
        # Nothing but what Ganeti gives, and what keeps it on its node.
        assert not {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "LOGNAME"} & set(pre)
    assert calls(third, "pre") == calls(third, "post") == []


@shows("hooks", "pre: one that fails, on any of its nodes, forbids the operation and names itself")
def test_pre_hook_forbids(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_hook(
        "instance-add", "pre", "echo no $GANETI_INSTANCE_NAME here; exit 3", name="20-law", nodes=["node2"]
    )
    vcluster.scripts.add_hook("instance-add", "pre", recording("after"), name="30-after")
    with pytest.raises(JobFailed) as caught:
        vcluster.add_instance("web", primary="node2")
    assert caught.value.kind == "HooksAbort"
    # A node by its UUID: HooksMaster.RunPhase takes the key of the answers for its name (lib/hooksmaster.py:213).
    refused = [[uuid_of(vcluster, "node2"), "instance-add-pre.d/20-law", "no web.vc here"]]
    assert caught.value.error == str(refused)
    assert vcluster.instances == []
    # The other scripts run nevertheless; and where the failing one is not, nothing is forbidden.
    assert len(calls(vcluster.node("node2"), "after")) == 1
    assert vcluster.add_instance("web", primary="node3").status == "running"


@shows(
    "hooks",
    "post: one that fails is a warning in the job's log; names order them, odd names and modes are skipped",
)
def test_post_hooks(vcluster: VirtualCluster) -> None:
    add = vcluster.scripts.add_hook
    add("instance-stop", "post", 'echo 20 >> "$GANETI_ROOTDIR/root/order"', name="20-b", nodes=["node1"])
    add(
        "instance-stop",
        "post",
        'echo 10 >> "$GANETI_ROOTDIR/root/order"; exit 1',
        name="10-a",
        nodes=["node1"],
    )
    [unready] = add("instance-stop", "post", 'echo 30 >> "$GANETI_ROOTDIR/root/order"', nodes=["node1"])
    unready.chmod(0o644)
    dotted = unready.with_name("40-hook.sh")
    dotted.write_text('#!/bin/sh\necho 40 >> "$GANETI_ROOTDIR/root/order"\n', encoding="ascii")
    dotted.chmod(0o755)
    web = vcluster.add_instance("web", primary="node1")
    job = vcluster.submit({"OP_ID": "OP_INSTANCE_SHUTDOWN", "instance_name": web.name})
    job.wait(TIMEOUT)
    log = [entry.message for entry in job.log]
    failed = f"On {uuid_of(vcluster, 'node1')} script instance-stop-post.d/10-a failed, output: (no output)"
    assert [one for one in log if failed in one], log
    assert web.status == "ADMIN_down"
    assert vcluster.master.path("/root/order").read_text(encoding="ascii").split() == ["10", "20"]


@shows("hooks", "a node whose noded is dead is warned of and forbids nothing; an offline one is passed over")
def test_hook_on_a_node_that_does_not_answer(vcluster: VirtualCluster) -> None:
    for phase in ("pre", "post"):
        vcluster.scripts.add_hook("group-rename", phase, recording("alive"))
        vcluster.scripts.add_hook("group-rename", phase, "exit 1", name="60-no", nodes=["node3"])
    with pytest.raises(JobFailed, match=r"group-rename-pre\.d/60-no"):
        vcluster.submit({"OP_ID": "OP_GROUP_RENAME", "group_name": "default", "new_name": "first"}).wait(
            TIMEOUT
        )
    vcluster.node("node3").daemon("noded").kill()
    job = vcluster.submit({"OP_ID": "OP_GROUP_RENAME", "group_name": "default", "new_name": "first"})
    job.wait(TIMEOUT)
    warned = [entry.message for entry in job.log if "Communication failure to node" in entry.message]
    assert len(warned) == 2, warned
    vcluster.run("gnt-node", "modify", "--offline=yes", "--auto-promote", "node3")
    job = vcluster.submit({"OP_ID": "OP_GROUP_RENAME", "group_name": "first", "new_name": "again"})
    job.wait(TIMEOUT)
    assert not [entry.message for entry in job.log if "node3" in entry.message]
    assert [len(calls(node, "alive")) for node in vcluster.nodes] == [5, 5, 1]


@shows(
    "hooks",
    "config-update runs on the master when a job has written the configuration, watcher hooks with the watcher",
    because=("command-environment", "installation-paths"),
)
def test_hooks_of_no_operation(vcluster: VirtualCluster) -> None:
    # One that asks its cluster, too.
    listing = 'gnt-group list --no-headers -o name > "$GANETI_ROOTDIR/root/groups"'
    vcluster.scripts.add_hook("config-update", "post", recording("update", listing))
    vcluster.scripts.add_watcher_hook(recording("watcher"))
    vcluster.run("gnt-cluster", "add-tags", "tag")
    vcluster.run("gnt-group", "add", "other")
    # Not after the tag: the job asks wconfd to change that, and counts what it writes itself (lib/mcpu.py:512).
    [update] = calls(vcluster.master, "update")
    assert (update["GANETI_HOOKS_PATH"], update["GANETI_HOOKS_PHASE"]) == ("config-update", "post")
    assert update["GANETI_OP_CODE"] == "OP_GROUP_ADD"
    assert calls(vcluster.node("node2"), "update") == []
    assert vcluster.master.path("/root/groups").read_text(encoding="ascii").split() == ["default", "other"]
    vcluster.node("node2").run("ganeti-watcher")
    [watched] = calls(vcluster.node("node2"), "watcher")
    assert watched["HOST"] == "node2.vc"
    assert calls(vcluster.master, "watcher") == []


@shows("hooks", "verify tells of a hook that fails, on every node but an offline one")
def test_verify_tells_of_hooks(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_hook("cluster-verify", "post", "echo the fan is loud; exit 1", nodes=["node2"])
    problems = vcluster.verify()
    assert [(one.code, one.item) for one in problems] == [("ENODEHOOKS", uuid_of(vcluster, "node2"))]
    assert "cluster-verify-post.d/50-test failed" in problems[0].message


@pytest.mark.slow
@shows("hooks", "a node that joins is told of on all nodes, and has no hooks of its own until it gets them")
def test_hooks_of_a_new_node(vcluster: VirtualCluster) -> None:
    for phase in ("pre", "post"):
        vcluster.scripts.add_hook("node-add", phase, recording(phase))
    old = vcluster.nodes
    new = vcluster.add_node()
    for node in old:
        [pre], [post] = calls(node, "pre"), calls(node, "post")
        assert pre["GANETI_NODE_NAME"] == post["GANETI_NODE_NAME"] == new.name
        assert pre["GANETI_NODE_PIP"] == new.ip
    assert calls(new, "post") == []
    assert len(vcluster.scripts.add_hook("node-modify", "post", recording("modify"))) == 4
    vcluster.run("gnt-node", "modify", "--drained=yes", new.name)
    assert [len(calls(node, "modify")) for node in vcluster.nodes] == [1, 0, 0, 1]


def test_hook_that_would_never_run(vcluster: VirtualCluster) -> None:
    add = vcluster.scripts.add_hook
    with pytest.raises(SpecError, match=r"(?s)operation='instance-create'.*instance-add, .*node-remove"):
        add("instance-create", "pre", "exit 1")
    with pytest.raises(SpecError, match=r"(?s)phase='before'.*pre, post"):
        add("instance-add", "before", "exit 1")
    with pytest.raises(SpecError, match=r"(?s)phase='pre'.*post"):
        add("config-update", "pre", "exit 1")
    with pytest.raises(SpecError, match=r"hook\.sh"):
        add("instance-add", "pre", "exit 1", name="hook.sh")
    with pytest.raises(KeyError, match="node9"):
        add("instance-add", "pre", "exit 1", nodes=["node1", "node9"])
    assert list(vcluster.master.path("/etc/ganeti/hooks").iterdir()) == []
