"""What versions of Ganeti do otherwise than 3.0, and what they do wrong."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: As fields of an opcode or of a request to RAPI: names of instances are looked up, and their addresses pinged. Since
#: 3.1 neither is done unless it is asked for (NEWS, Ganeti's issue 1589).
CHECKED = {"name_check": True, "ip_check": True}

#: A marker for tests that copy disks from node to node. socat is to find the node's name in the certificate, which is
#: the cluster's and has a fixed one (lib/impexpd/__init__.py; Ganeti's issue 1840).
NO_TRANSFERS = pytest.mark.ganeti_fault("3.1.0~rc2", "no disk is copied; mended in 3.1.0 (issue 1840)")


def checks(cluster: VirtualCluster) -> tuple[str, ...]:
    """Return the options of `gnt-instance` that mean `CHECKED`."""
    return () if cluster.ganeti.series == "3.0" else ("--name-check", "--ip-check")
