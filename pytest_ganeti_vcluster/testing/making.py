"""How the pool's clusters are got and cleaned, with a note of what each took."""

from __future__ import annotations

import time
from typing import Any, Protocol

import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state, timings
from pytest_ganeti_vcluster.testing.announcing import Announcer
from pytest_ganeti_vcluster.testing.progress import Tell
from pytest_ganeti_vcluster.testing.timings import Spent

#: Seconds beyond the clone's own that say that an image had to be made first, or waited for.
_IMAGE = 1.0


class Obtain(Protocol):
    """How a new cluster is got: see `Builder.obtain`."""

    def __call__(self, spec: ClusterSpec, tell: Tell, *, root_name: str | None) -> VirtualCluster:
        """Get it. Raises `VClusterError`."""


class Maker:
    """Gets and resets clusters, in any thread, and remembers what the summary is to tell of it."""

    def __init__(
        self, config: pytest.Config, settings: Settings, obtain: Obtain, announcer: Announcer
    ) -> None:
        self._config = config
        self._announcer = announcer
        self._settings = settings
        self._obtain = obtain
        self.notes: list[str] = []
        self._spent: list[Spent] = []

    def obtain(
        self, spec: ClusterSpec, tell: Tell, *, is_awaited: bool, root_name: str | None = None
    ) -> tuple[VirtualCluster, str]:
        """Get a new cluster, in the folder of a name or in any, and say where it comes from. Raises `VClusterError`."""
        began = time.monotonic()
        cluster = self._obtain(spec, tell, root_name=root_name)
        seconds = time.monotonic() - began
        kind = timings.BOOT
        if self._settings.image_cache is not None:
            kind = timings.CLONE
            cloning = sum(stage.seconds for stage in cluster.boot_stages)
            if seconds - cloning > _IMAGE:
                self._note(timings.IMAGE, spec, seconds - cloning, is_awaited=is_awaited)
                seconds = cloning
        self._note(kind, spec, seconds, is_awaited=is_awaited)
        if self._settings.keep == "always":
            self.notes.append(f"kept {cluster.root}")
        how = "built" if kind == timings.BOOT else "cloned"
        self._announcer.created(cluster, how, seconds)
        return cluster, f"{how} in {seconds:.1f} s"

    def reset(self, cluster: VirtualCluster, *, is_awaited: bool) -> str:
        """Make a cluster as clean as new, and say what was done; empty for nothing. Raises `VClusterError`."""
        began = time.monotonic()
        how, why = "failed", ""
        try:
            done = cluster.reset()
            how, why = done.how, done.why
        finally:
            seconds = time.monotonic() - began
            self._note(timings.RESET, cluster.spec, seconds, how=how, why=why, is_awaited=is_awaited)
        return "" if how == "nothing" else f"put back to how it was built in {seconds:.2f} s ({why})"

    def note_wait(self, spec: ClusterSpec, seconds: float) -> None:
        """Remember how long a test has waited for a cluster."""
        self._note(timings.WAIT, spec, seconds, is_awaited=True)

    def take_notes(self) -> tuple[list[str], list[list[Any]]]:
        """Return what was noted since the last time: notes, and what time was spent on."""
        notes, self.notes = self.notes, []
        spent, self._spent = self._spent, []
        return notes, [one.to_plain() for one in spent]

    def _note(
        self,
        kind: str,
        spec: ClusterSpec,
        seconds: float,
        *,
        is_awaited: bool,
        how: str = "",
        why: str = "",
    ) -> None:
        item = self._config.stash.get(state.ITEM, None) if is_awaited else None
        test = "" if item is None else item.nodeid
        self._spent.append(Spent(kind, spec.label, seconds, how, why.partition("\n")[0], test))
