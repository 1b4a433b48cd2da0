"""The processes of one virtual node: which they are, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo

#: A process with this variable acts on nodes from outside, whichever of them has started it.
OUTSIDE = "VCLUSTER_OUTSIDE"

_ROOT = b"GANETI_ROOTDIR="

#: Seconds in which processes have to be gone after SIGKILL, and between two looks.
_ENDING = 10.0
_PAUSE = 0.005


@attrs.frozen
class NodeProcesses:
    """The processes of `node`; `login` is the path of what every login to it runs."""

    keeper: Keeper
    node: NodeSite
    login: str

    def end(self) -> None:
        """End them all at once (SIGKILL), and return when none is left. Raises `KeeperError`."""
        deadline = time.monotonic() + _ENDING
        # What is being started while we look is there the next time.
        while left := self.now():
            if time.monotonic() > deadline:
                raise KeeperError(
                    f"{left[0].name} (process {left[0].pid}) of {self.node.name} cannot be ended",
                    cure="look at the process: it is probably stuck in the kernel",
                )
            for process in left:
                process.identity.signal(signal.SIGKILL)
            time.sleep(_PAUSE)

    def identities(self) -> list[ProcessIdentity]:
        """Tell who they are that run now."""
        return [process.identity for process in self.now()]

    def now(self) -> list[ProcessInfo]:
        """Find those that run now: by their environment, and all that is below them; and the logins."""
        every = {process.pid: process for process in self.keeper.processes()}
        environments = {pid: _environment(pid) for pid in every}
        outside = {pid for pid, text in environments.items() if OUTSIDE.encode() + b"=" in text}
        found = {
            pid
            for pid, process in every.items()
            if pid not in outside and self._is_ours(process, environments[pid])
        }
        found |= self._below(found, every, outside)
        found |= {every[pid].ppid for pid in found if _is_login(every.get(every[pid].ppid))}
        return [every[pid] for pid in sorted(found)]

    def _is_ours(self, process: ProcessInfo, environment: bytes) -> bool:
        variables = environment.split(b"\0")
        roots = [one[len(_ROOT) :] for one in variables if one.startswith(_ROOT)]
        if os.fsencode(self.node.root) in roots:
            return True
        if not roots:
            return any(self.login in argument for argument in process.argv)
        # A forked program shows the environment of the fork server, which is on no node, where the kernel cannot change
        # that (inside/forking/imitation.py).
        return not os.path.isdir(roots[0]) and self._has_files_of_ours(process.pid)  # noqa: PTH112  bytes

    def _has_files_of_ours(self, pid: int) -> bool:
        links = [Path(f"/proc/{pid}/cwd"), *_entries(Path(f"/proc/{pid}/fd"))]
        return any(str(self.node.root) in (target, *_parents(target)) for target in map(_target, links))

    @staticmethod
    def _below(found: set[int], every: Mapping[int, ProcessInfo], outside: set[int]) -> set[int]:
        below: set[int] = set()
        grown = found
        while grown:
            grown = {
                pid for pid, one in every.items() if one.ppid in grown and pid not in found | below | outside
            }
            below |= grown
        return below


def _is_login(process: ProcessInfo | None) -> bool:
    """Whether it is sshd's process for one login, which runs what was asked for."""
    return process is not None and process.name.startswith("sshd")


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        # It has ended, or is about to.
        return b""


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115  no path, maybe
    except OSError:
        return ""


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in Path(path).parents]
