"""The power of virtual nodes: switched off and on, started again, crashed; from whichever process."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator

import attrs

from pytest_ganeti_vcluster.cluster.parts import ClusterParts
from pytest_ganeti_vcluster.engines.base import BOOT_ID, FROZEN
from pytest_ganeti_vcluster.errors import DaemonDied, UserError
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES, VOLATILE, make_volatile
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid, wait_ready
from pytest_ganeti_vcluster.keeper.locking import locked


@attrs.frozen
class NodePower:
    """The power of `node`, as whoever has a hand on its switch sees it."""

    parts: ClusterParts
    node: BootNode

    @property
    def is_on(self) -> bool:
        """Whether it is switched on."""
        return self.node.site.is_on

    def crash(self) -> None:
        """See `VirtualNode.crash`."""
        with self._held():
            if self.is_on:
                self._end_all()
                (self.node.site.root / FROZEN).unlink(missing_ok=True)
                # It stays switched on, and one can log in.
                self.parts.site.follow_power()

    def off(self) -> None:
        """See `VirtualNode.power_off`."""
        with self._held():
            self._off()

    def on(self) -> None:
        """See `VirtualNode.power_on`."""
        with self._held():
            self._on()

    def cycle(self) -> None:
        """See `VirtualNode.power_cycle`."""
        with self._held():
            if not self.is_on:
                raise UserError(
                    f"{self.node.site.name} is switched off, and cannot be power-cycled", cure="switch it on"
                )
            self._off()
            self._on()

    def start(self) -> None:
        """Start what its init starts, unless it is off or that runs already; return when it answers."""
        with self._held():
            if self.is_on and not self.runs():
                self.parts.site.follow_power()
                self._boot()

    def freeze(self) -> None:
        """See `VirtualNode.freeze`."""
        with self._held():
            if not self.is_on:
                raise UserError(
                    f"{self.node.site.name} is switched off, and cannot be frozen", cure="switch it on"
                )
            self.parts.site.freeze(self.node.site)

    def thaw(self) -> None:
        """See `VirtualNode.thaw`."""
        with self._held():
            self.parts.site.thaw(self.node.site)

    def runs(self) -> bool:
        """Whether anything of Ganeti runs on it."""
        return any(daemon_pid(daemon, self.node.site.root) for daemon in DAEMONS.values())

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Keep everybody else from the switch meanwhile."""
        folder = self.node.site.root.parent / "engine"
        with locked(folder / f"power-{self.node.site.index}.lock", timeout=self.parts.settings.timeout):
            yield

    def _end_all(self) -> None:
        self.parts.site.end_processes(self.node.site)
        # An instance of the fake hypervisor is a file, where others are processes (lib/hypervisor/hv_fake.py).
        self._empty(RUNNING_INSTANCES)

    def _empty(self, inner: str) -> None:
        """Remove what is in a folder of the node, unless somebody has put a link to elsewhere in its place."""
        folder = self.node.site.root / inner
        if folder.is_dir() and folder.resolve() == self.node.site.root.resolve() / inner:
            for entry in list(folder.iterdir()):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def _off(self) -> None:
        site = self.node.site
        if not site.is_on:
            return
        # From now on nothing is started there.
        site.off_mark.touch()
        self._end_all()
        for folder in VOLATILE:
            self._empty(folder)
        self.parts.site.follow_power()

    def _on(self) -> None:
        site = self.node.site
        if site.is_on:
            return
        make_volatile(site.root)
        (site.root / BOOT_ID).write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        site.off_mark.unlink()
        self.parts.site.follow_power()
        self._boot()

    def _boot(self) -> None:
        """Start what a node's init starts, and wait until it answers."""
        timeout = self.parts.settings.timeout
        deadline = time.monotonic() + timeout
        root = self.node.site.root
        daemon_util = str(self.parts.farm.daemon_util)
        # It ends with an error where a daemon does not want to run, such as a master that nobody votes for any more.
        self.node.shell.run(daemon_util, "start-all", check=False, timeout=timeout)
        # Those behind it in the list come up nevertheless: systemd starts each by itself.
        for name in self.parts.farm.optional_daemons(self.parts.spec.daemons):
            if daemon_pid(DAEMONS[name], root) is None:
                program = DAEMONS[name].program
                self.node.shell.run(daemon_util, "start", program, check=False, timeout=timeout)
        if (root / "var/lib/ganeti/server.pem").exists():
            wait_ready(DAEMONS["noded"], self.node.site.name, self.node.address, deadline=deadline)
        for daemon in DAEMONS.values():
            if daemon_pid(daemon, root) is not None:
                with contextlib.suppress(DaemonDied):
                    wait_ready(daemon, self.node.site.name, self.node.address, deadline=deadline)
