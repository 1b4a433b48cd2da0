"""A real Ganeti cluster in a pytest test: many virtual nodes, one machine, one ordinary user.

The names here are for annotations and for specs in tests; clusters come from the fixtures. They are imported when
they are first used, so that the plugin costs a run without clusters next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.clients import Job, LuxiClient, RapiClient
    from pytest_ganeti_vcluster.cluster.faults.fault import Fault
    from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
    from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
    from pytest_ganeti_vcluster.cluster.state.restoring import Reset
    from pytest_ganeti_vcluster.cluster.state.snapshots import Snapshot
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
    from pytest_ganeti_vcluster.errors import (
        CommandFailed,
        HealFailed,
        JobFailed,
        LuxiError,
        RapiError,
        ResetFailed,
        VClusterError,
    )
    from pytest_ganeti_vcluster.ganeti.commands import CommandResult
    from pytest_ganeti_vcluster.ganeti.verify import Problem
    from pytest_ganeti_vcluster.testing.rapi import RapiEndpoint

_HOMES = {
    "Broken": "cluster.invariants.broken",
    "ClusterSpec": "cluster.spec",
    "CommandFailed": "errors",
    "CommandResult": "ganeti.commands",
    "Fault": "cluster.faults.fault",
    "HealFailed": "errors",
    "Job": "clients",
    "JobFailed": "errors",
    "LuxiClient": "clients",
    "LuxiError": "errors",
    "NodeSpec": "cluster.spec",
    "Problem": "ganeti.verify",
    "RapiClient": "clients",
    "RapiEndpoint": "testing.rapi",
    "RapiError": "errors",
    "Reset": "cluster.state.restoring",
    "ResetFailed": "errors",
    "Snapshot": "cluster.state.snapshots",
    "VClusterError": "errors",
    "VirtualCluster": "cluster.virtual_cluster",
    "VirtualInstance": "cluster.virtual_instance",
    "VirtualNode": "cluster.virtual_node",
}

__all__ = [
    "Broken",
    "ClusterSpec",
    "CommandFailed",
    "CommandResult",
    "Fault",
    "HealFailed",
    "Job",
    "JobFailed",
    "LuxiClient",
    "LuxiError",
    "NodeSpec",
    "Problem",
    "RapiClient",
    "RapiEndpoint",
    "RapiError",
    "Reset",
    "ResetFailed",
    "Snapshot",
    "VClusterError",
    "VirtualCluster",
    "VirtualInstance",
    "VirtualNode",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
