"""Logins from node to node, of which a large cluster sees thousands."""

from __future__ import annotations

import re

import pytest

from pytest_ganeti_vcluster import CommandResult, VirtualCluster

#: What OpenSSH prefers from 9.0 on, and what a client may ask for that knows nothing of a node's configuration.
_SLOW = "sntrup761x25519-sha512@openssh.com"
_OTHER = "curve25519-sha256"


def _log_in(cluster: VirtualCluster, *argv: str) -> CommandResult:
    """Run something by ssh on the second node."""
    trust = ("-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=no", "-oBatchMode=yes")
    options = [one for one in argv if one.startswith("-")]
    return cluster.run("ssh", *trust, *options, cluster.nodes[1].name, *argv[len(options) :])


def _key_exchange(cluster: VirtualCluster, *options: str) -> str:
    seen = _log_in(cluster, "-v", *options, "true").stderr
    match = re.search(r"kex: algorithm: (\S+)", seen)
    assert match, seen
    return match[1]


@pytest.mark.only_on(
    "loopback", "there one sshd with settings of its own has the logins of hundreds of nodes"
)
def test_nodes_log_in_by_a_key_exchange_that_takes_little(vcluster: VirtualCluster) -> None:
    assert _key_exchange(vcluster) == "ecdh-sha2-nistp256"


@pytest.mark.only_on(
    "loopback", "there one sshd with settings of its own has the logins of hundreds of nodes"
)
def test_sshd_takes_no_key_exchange_that_takes_much(vcluster: VirtualCluster) -> None:
    if _SLOW not in vcluster.run("ssh", "-Q", "kex").lines:
        pytest.skip(f"this ssh does not know {_SLOW}")
    assert _key_exchange(vcluster, f"-oKexAlgorithms={_SLOW},{_OTHER}") == _OTHER


def test_a_login_is_on_the_node(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    asked = 'echo "$(hostname)" "$HOME" "$PWD" "$BASH"'
    home = node.seen_path("/root")
    # By which of its names depends on what shell root has.
    assert _log_in(vcluster, asked).stdout.replace("/usr/bin/", "/bin/").split() == [
        *(node.name, home, home),
        "/bin/bash",
    ]


@pytest.mark.only_on("loopback", "there variables make a process be on a node")
def test_a_login_has_the_environment_of_a_command(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    logged_in = set(_log_in(vcluster, "env").lines)
    assert set(node.run("env").lines) - logged_in <= {"SHLVL=0", "_=/usr/bin/env"}
