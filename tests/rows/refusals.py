"""Commands that Ganeti is to refuse, and what it says."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

# A pattern of what is told of a name that is not known: on loopback by us, on a machine by its name server.
UNKNOWN_NAME = "this virtual cluster does not know the name|does not resolve: Name or service not known"


def refusal(where: VirtualCluster | VirtualNode, *argv: str, stdin: str | None = None) -> str:
    """Run a command that fails; give all that it wrote."""
    result = where.run(*argv, check=False, stdin=stdin)
    assert result.returncode, result
    return result.stdout + result.stderr
