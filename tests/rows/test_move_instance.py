"""Row move-instance: Ganeti's tool of that name, between two virtual clusters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.rows.showing import shows

ROW = "move-instance"
pytestmark = pytest.mark.vcluster(nodes=2)
_MEBIBYTE = 1 << 20


def _move(
    source: VirtualCluster, target: VirtualCluster, name: str, password: str | None = None
) -> CommandResult:
    """Move an instance, as an administrator on the source's master; `password` instead of the target's."""
    options = []
    for side, cluster in (("src", source), ("dest", target)):
        access = cluster.rapi_access
        file = source.master.path(f"/root/{side}-password")
        file.write_text((side == "dest" and password) or access.password, encoding="ascii")
        options += [
            f"--{side}-ca-file={access.ca_file}",
            f"--{side}-username={access.username}",
            f"--{side}-password-file={file}",
        ]
    target.add_name(name)
    return source.run(
        "move-instance",
        "--verbose",
        *options,
        "--dest-primary-node=node2.vc",
        "--dest-secondary-node=node1.vc",
        "--net=0:mac=generate",
        # Without, it compares None with a number in Python 3 (tools/move-instance, _CheckOpportunisticLockingOptions).
        "--opportunistic-tries=0",
        source.master.ip,
        target.master.ip,
        source.full_name(name),
        check=False,
        timeout=120,
    )


def _renew_secret(cluster: VirtualCluster, secret: Path) -> None:
    # By itself --cluster-domain-secret changes nothing (lib/client/gnt_cluster.py, _RenewCrypto: the condition before
    # RunWhileClusterStopped).
    command = ("gnt-cluster", "renew-crypto", "--force", "--new-confd-hmac-key")
    cluster.run(*command, f"--cluster-domain-secret={secret}")


@pytest.mark.ganeti_fault(
    "3.1", "socat is to find the name of another cluster's node, which nobody can look up"
)
@pytest.mark.only_on("loopback", "clusters of machines have networks of their own, which nothing joins")
@shows(
    ROW,
    "an instance moves to another cluster with its disks, where both know one secret",
    because=("transfer-certificates",),
)
@shows(ROW, "a wrong secret and a wrong password are refused, and the instance stays where it is")
def test_between_two_clusters(vcluster: VirtualCluster, vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=2) as target:
        web = vcluster.add_instance("web", "file", primary="node1", nics=[{}])
        [disk] = web.disk_paths()
        content = os.urandom(_MEBIBYTE)
        with disk.open("r+b") as stream:
            stream.write(content)
        secret = vcluster.master.path("/root/secret")
        secret.write_text("a secret of the other cluster only\n", encoding="ascii")
        secret.chmod(0o600)
        _renew_secret(target, secret)

        refused = _move(vcluster, target, "web", password="wrong")
        assert refused.returncode
        assert "Unauthorized" in refused.stdout + refused.stderr
        refused = _move(vcluster, target, "web")
        assert refused.returncode
        assert (
            "Hash didn't match, clusters don't share the same domain secret"
            in refused.stdout + refused.stderr
        )
        assert [one.name for one in vcluster.instances] == ["web.vc"]
        assert target.instances == []

        _renew_secret(vcluster, secret)
        moved = _move(vcluster, target, "web")
        assert moved.returncode == 0, moved
        assert vcluster.instances == []
        [there] = target.instances
        assert (there.name, there.primary.name, there.status) == ("web.vc", "node2.vc", "running")
        assert there.disk_paths()[0].read_bytes()[:_MEBIBYTE] == content
        assert target.verify() == []
