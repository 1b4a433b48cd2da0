"""Row burnin: Ganeti's own burn-in tool runs to its end."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from tests.rows.showing import shows

ROW = "burnin"

#: It removes a disk from a running instance, which Ganeti does by hotplug only (CheckInstanceState in
#: lib/cmdlib/instance_set_params.py), and of its hypervisors KVM alone has that.
_NO_HOTPLUG = "--no-add-disks"

#: It reinstalls instances without disks, too, which Ganeti refuses (BurninCluster in lib/tools/burnin.py).
_NO_DISKS = "--no-reinstall"


def _burn_in(cluster: VirtualCluster, *options: str) -> str:
    result = cluster.run(
        "burnin",
        "--os=dd+default",
        "--minmem-size=128M",
        "--maxmem-size=256M",
        "--rename=instance20.vc",
        _NO_HOTPLUG,
        *options,
        "instance1.vc",
        "instance2.vc",
        timeout=600,
    )
    assert cluster.instances == []
    assert cluster.verify() == []
    return result.stdout


@pytest.mark.slow
@shows(ROW, "it completes with instances that have no disks")
def test_diskless(vcluster: VirtualCluster) -> None:
    told = _burn_in(vcluster, "--disk-template=diskless", _NO_DISKS)
    for step in ("Failing over", "Migrating", "Rebooting", "Renaming", "Adding and removing NICs"):
        assert f"- {step}" in told


@pytest.mark.slow
@shows(ROW, "it completes with instances whose disks are files")
def test_file(vcluster: VirtualCluster) -> None:
    told = _burn_in(vcluster, "--disk-template=file", "--disk-size=16M,8M", "--disk-growth=8M,8M")
    for step in ("Growing disks", "Moving", "Reinstalling", "Activating/deactivating disks"):
        assert f"- {step}" in told
