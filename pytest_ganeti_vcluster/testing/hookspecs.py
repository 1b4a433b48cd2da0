"""The hooks that plugins and `conftest.py` files can implement, beside pytest's own.

Each is called in the process that has the cluster: with pytest-xdist in the workers, but for the spec of the cluster
that all workers of a run share, which the controller has to know, too. All are called in the thread that runs tests,
although clusters are also made and closed in the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.faults.fault import Fault
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.errors import VClusterError


@pytest.hookspec
def pytest_vcluster_spec(
    config: pytest.Config, item: pytest.Item | None, fixture: str, keywords: dict[str, Any]
) -> None:
    """Change what a cluster is to be, before its spec is made and checked.

    `keywords`   what the test's markers say, or the call of `vcluster_factory`, as fields of `ClusterSpec`, with
                 `nodes` as the options have it where nobody says; change it in place. All implementations have the
                 same one, in pluggy's order: each sees what those before it have done
    `item`       the test, for its own cluster; None for those that belong to no test
    `fixture`    "vcluster", "vcluster_session" or "vcluster_factory"

    It is called once for each test that uses a fixture for clusters or has the marker, at collection, and a spec that
    cannot be is the usage error that it is in a marker. For `vcluster_session` it is called once in a process, and for
    `vcluster_factory` for each cluster. With `--vcluster-share=run` it has to say the same for `vcluster_session` in
    all processes of the run.
    """


@pytest.hookspec
def pytest_vcluster_created(config: pytest.Config, cluster: VirtualCluster, how: str, seconds: float) -> None:
    """Tell of a cluster that has come up.

    `cluster`   it, running
    `how`       "cloned" from an image, or "built" from nothing
    `seconds`   how long that took

    What a test takes was told of before. A cluster that is made ready ahead, in the background, is told of when a test
    takes it, or at the end of the phase of a test that runs; it may be closed again by then, without any test that has
    had it. An error raised here fails the test that waits. Nothing is told of a cluster that images are made of.
    """


@pytest.hookspec
def pytest_vcluster_closed(
    config: pytest.Config, cluster: VirtualCluster, name: str, seconds: float, error: VClusterError | None
) -> None:
    """Tell that a cluster was closed, at the end of the phase of the test in which, or during which, that was.

    `cluster`   its handle, of which `root`, `spec`, `engine`, `ganeti` and `boot_stages` may still be asked; its
                folder is gone, unless it is kept
    `name`      its full name, as it was when it came up
    `seconds`   how long it was there
    `error`     why it could not be closed in order; None where it could

    One that workers share is told of by the worker that has made it, when that lets go of it. Whoever has to read
    something of a cluster that is still there does so at the end of a test (pytest's hooks and fixtures).
    """


@pytest.hookspec
def pytest_vcluster_fault(config: pytest.Config, cluster: VirtualCluster, fault: Fault, change: str) -> None:
    """Tell of a fault, at once: when it is in force, and when it is no more.

    `fault`    what it is (`what`), when it began and was lifted (`began`, `lifted`: seconds since the epoch)
    `change`   "begun"; "lifted", by whoever did so; "passed" where it ended by itself, as when a node is switched on;
               "reset" where the cluster was put back to how it was

    A fault that is in force when its cluster is closed ends with that, untold. In a thread of a test's own, faults are
    told of later, as clusters are. An error raised here fails the test at the end of its phase: the fault is begun or
    lifted nevertheless.
    """
