"""Restricted commands run on the nodes that are named, and are refused where Ganeti says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from tests.rows.ganeti_copy import copy_ganeti
from tests.rows.recorded import calls, recording
from tests.rows.showing import shows

_OP = {"OP_ID": "OP_RESTRICTED_COMMAND", "use_locking": False}


def seen_command(node: VirtualNode) -> str:
    """Give the path of command `look` on a node."""
    return node.seen_path("/etc/ganeti/restricted-commands/look")


three_nodes = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))


@three_nodes
@shows(
    "restricted commands",
    "runs on the nodes named, in their roots; a status other than 0 is told with the output",
    because=("restricted-command-owner", "command-environment"),
)
def test_allowed(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_restricted_command("look", recording("look", "echo I am $(hostname)"))
    vcluster.scripts.add_restricted_command("refuse", "echo not today; exit 7")
    said = vcluster.run("gnt-node", "restricted-command", "-M", "look", "node3", "node2").lines
    assert [line for line in said if "I am" in line] == ["node3.vc: I am node3.vc", "node2.vc: I am node2.vc"]
    [seen] = calls(vcluster.node("node3"), "look")
    # Nothing of the caller's: no arguments, and of the environment only what keeps it on its node.
    assert (seen["ARGUMENTS"], seen["HOST"]) == ("", "node3.vc")
    own_root = str(vcluster.node("node3").root) if vcluster.engine == "loopback" else None
    assert seen.get("GANETI_ROOTDIR") == own_root
    assert calls(vcluster.master, "look") == []
    vcluster.run("gnt-node", "restricted-command", "-g", "default", "look")
    assert [len(calls(node, "look")) for node in vcluster.nodes] == [1, 2, 2]
    failed = vcluster.run("gnt-node", "restricted-command", "refuse", "node2", check=False)
    assert failed.returncode == 1
    assert re.search(
        r"Command 'refuse' on node 'node2\.vc' failed: .*exited with exit code 7; output: not today",
        failed.stdout,
    )


@three_nodes
@shows(
    "restricted commands",
    "one that is missing, not executable or writable for others is refused; only the node's log tells why",
)
def test_refused(vcluster: VirtualCluster) -> None:
    # Ganeti takes ten seconds for a refusal (lib/backend.py: _RCMD_INVALID_DELAY): one job, three reasons.
    [closed, open_to_all] = vcluster.scripts.add_restricted_command(
        "look", "hostname", nodes=["node1", "node2"]
    )
    closed.chmod(0o644)
    open_to_all.chmod(0o757)
    job = vcluster.submit({**_OP, "command": "look", "nodes": [node.name for node in vcluster.nodes]})
    [answers] = job.wait(TIMEOUT)
    assert [ok for ok, _text in answers] == [False] * 3
    for node, (_ok, text) in zip(vcluster.nodes, answers):
        assert text == f"Command 'look' on node '{node.name}' failed: Executing command 'look' failed"
    why = [
        f"access(2) thinks '{seen_command(vcluster.node('node1'))}' can't be executed",
        f"Permissions on '{seen_command(vcluster.node('node2'))}' are too permissive",
        f"Can't stat(2) '{seen_command(vcluster.node('node3'))}'",
    ]
    for node, reason in zip(vcluster.nodes, why):
        assert reason in node.log("noded")


@pytest.mark.slow
@three_nodes
@shows(
    "restricted commands",
    "a name with a folder or odd characters in it, and a folder that others write to, are refused",
)
def test_refused_names(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    vcluster.scripts.add_restricted_command("look", "hostname")
    third.path("/etc/ganeti/restricted-commands").chmod(0o775)
    jobs = [
        vcluster.submit({**_OP, "command": command, "nodes": [node.name]})
        for node, command in ((first, "../restricted-commands/look"), (second, "look.sh"), (third, "look"))
    ]
    assert [job.wait(TIMEOUT)[0][0][0] for job in jobs] == [False] * 3
    assert "Invalid command name" in first.log("noded")
    assert "Command name contains forbidden characters" in second.log("noded")
    assert f"'{third.seen_path('/etc/ganeti/restricted-commands')}' are too permissive" in third.log("noded")


@three_nodes
@shows("restricted commands", "nodes that are offline are left out, and one with a dead noded is told of")
def test_nodes_that_do_not_answer(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_restricted_command("look", "hostname")
    vcluster.node("node2").daemon("noded").kill()
    names = [node.name for node in vcluster.nodes]
    [[first, second, third]] = vcluster.submit({**_OP, "command": "look", "nodes": names}).wait(TIMEOUT)
    assert (first, third) == ([True, "node1.vc\n"], [True, "node3.vc\n"])
    assert second[0] is False
    assert re.match(r"Command 'look' on node 'node2\.vc' failed: Error 7: Failed to connect", second[1])
    vcluster.run("gnt-node", "modify", "--offline=yes", "--auto-promote", "node2")
    told = vcluster.run("gnt-node", "restricted-command", "look", "node1", "node2")
    assert "Node: node2.vc" not in told.lines
    assert "Node: node1.vc" in told.lines
    [[one]] = vcluster.submit({**_OP, "command": "look", "nodes": ["node2.vc"]}).wait(TIMEOUT)
    assert one == [False, "Command 'look' on node 'node2.vc' failed: Node is marked offline"]


@pytest.mark.slow
@three_nodes
@shows("restricted commands", "a Ganeti that was built without them refuses all")
def test_disabled(vcluster: VirtualCluster, tmp_path: Path) -> None:
    share = copy_ganeti(vcluster.ganeti, tmp_path)
    constants = share / "ganeti/_constants.py"
    text = constants.read_text(encoding="utf-8")
    assert "ENABLE_RESTRICTED_COMMANDS = True" in text
    constants.write_text(
        text.replace("ENABLE_RESTRICTED_COMMANDS = True", "ENABLE_RESTRICTED_COMMANDS = False"),
        encoding="utf-8",
    )
    with build_cluster(ClusterSpec(nodes=1, ganeti=str(tmp_path)), vcluster.parts.settings) as cluster:
        cluster.scripts.add_restricted_command("look", "hostname")
        told = cluster.run("gnt-node", "restricted-command", "look", "node1", check=False)
        assert told.returncode == 1
        assert "failed: Restricted commands disabled at configure time" in told.stdout
