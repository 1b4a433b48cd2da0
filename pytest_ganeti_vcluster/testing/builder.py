"""Getting clusters for tests: what cannot be had becomes a skip or one short failure."""

from __future__ import annotations

import contextlib
from typing import Callable, NoReturn, TypeVar

import pytest

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiNotFound, MachineError, RootTaken, SpecError, VClusterError
from pytest_ganeti_vcluster.keeper.reap import reap_stale
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.collection import SkipReasons
from pytest_ganeti_vcluster.testing.progress import Tell, shown

_Given = TypeVar("_Given")

#: A spec that failed to boot so often is not tried again in this run: a boot that hangs takes minutes.
_TRIES = 2


class _Refused(VClusterError):
    """A cluster is not tried again: `failure` is what it failed with."""

    def __init__(
        self, message: str, *, failure: VClusterError | None = None, seen: str = "", cure: str = ""
    ) -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.failure = failure

    @classmethod
    def after(cls, failure: VClusterError) -> _Refused:
        """Return that which an earlier failure leads to."""
        return cls(failure.message, failure=failure, seen=failure.seen, cure=failure.cure)


class Builder:
    """Builds the clusters of one run, and remembers what could not be built."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._reasons = SkipReasons(settings)
        self._failures: dict[ClusterSpec, list[VClusterError]] = {}
        self._reaped = False
        #: What could not be had for the test that runs, and why.
        self.not_up: list[tuple[ClusterSpec, VClusterError]] = []

    def obtain(self, spec: ClusterSpec, tell: Tell, *, root_name: str | None = None) -> VirtualCluster:
        """Obtain a cluster, in the folder of a name or in any; raises `VClusterError`. Any thread may call it."""
        if self._is_hopeless(spec):
            raise _Refused.after(self._failures[spec][-1])
        self._reap()
        try:
            return obtain_cluster(spec, self._settings, tell, root_name=root_name)
        except RootTaken:
            raise
        except VClusterError as error:
            self._failures.setdefault(spec, []).append(error)
            raise

    def may_have(self, spec: ClusterSpec) -> bool:
        """Whether a cluster of this spec is worth trying, before a test asks for it."""
        return not self._is_hopeless(spec) and not self._reasons.of_spec(spec)

    def give(self, spec: ClusterSpec, get: Callable[[Tell], _Given]) -> _Given:
        """Return what `get` gets for the test that asked; skip that, or fail it with a text that is all one needs.

        What takes long is told of meanwhile. Raises `SpecError` as it is: it belongs to the line that asked.
        """
        reason = self._reasons.of_spec(spec)
        if reason:
            pytest.skip(reason)
        failure: VClusterError
        try:
            with shown(self._config) as tell:
                return get(tell)
        except SpecError:
            raise
        except VClusterError as error:
            failure = error
        self.not_up.append((spec, (failure.failure or failure) if isinstance(failure, _Refused) else failure))
        # Outside the handler: pytest would tell the error again as the context of its failure.
        if isinstance(failure, _Refused):
            earlier = f"No cluster of {len(spec.nodes)} could be built earlier in this run.\n"
            return self._give_up(failure.failure or failure, earlier)
        return self._give_up(failure, "")

    def _is_hopeless(self, spec: ClusterSpec) -> bool:
        failures = self._failures.get(spec, [])
        return bool(failures) and (isinstance(failures[-1], MachineError) or len(failures) >= _TRIES)

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
