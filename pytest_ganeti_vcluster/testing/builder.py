"""Building clusters for tests: what cannot be had becomes a skip or one short failure."""

from __future__ import annotations

import contextlib
from typing import NoReturn

import pytest

from pytest_ganeti_vcluster.cluster.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiNotFound, MachineError, SpecError, VClusterError
from pytest_ganeti_vcluster.keeper.reap import reap_stale
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.collection import SkipReasons
from pytest_ganeti_vcluster.testing.progress import LiveLine

#: A spec that failed to boot so often is not tried again in this run: a boot that hangs takes minutes.
_TRIES = 2


class Builder:
    """Builds the clusters of one run, and remembers what could not be built."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._reasons = SkipReasons(settings)
        self._failures: dict[ClusterSpec, list[VClusterError]] = {}
        self._reaped = False

    def build(self, spec: ClusterSpec) -> VirtualCluster:
        """Build a cluster; skip the test that asked, or fail it with a text that is all one needs to read.

        Raises `SpecError` as it is: it belongs to the line that asked.
        """
        reason = self._reasons.of_spec(spec)
        if reason:
            pytest.skip(reason)
        self._refuse_again(spec)
        self._reap()
        failure: VClusterError
        try:
            with LiveLine(self._config).shown() as line:
                return build_cluster(spec, self._settings, line.tell)
        except SpecError:
            raise
        except VClusterError as error:
            failure = error
        # Outside the handler: pytest would tell the error again as the context of its failure.
        self._failures.setdefault(spec, []).append(failure)
        return self._give_up(failure, "")

    def _refuse_again(self, spec: ClusterSpec) -> None:
        failures = self._failures.get(spec, [])
        if failures and (isinstance(failures[-1], MachineError) or len(failures) >= _TRIES):
            self._give_up(
                failures[-1], f"No cluster of {len(spec.nodes)} could be built earlier in this run.\n"
            )

    def _give_up(self, error: VClusterError, before: str) -> NoReturn:
        if isinstance(error, GanetiNotFound) and self._settings.missing == "skip":
            pytest.skip(f"{error.message.split('; looked at')[0]}: {error.cure}")
        pytest.fail(f"{before}{type(error).__name__}: {error}", pytrace=False)

    def _reap(self) -> None:
        """End and remove, before the first boot, what killed runs have left."""
        if not self._reaped:
            self._reaped = True
            # A root folder that cannot be read is what the boot itself complains of.
            with contextlib.suppress(OSError):
                reap_stale(self._settings.root)
