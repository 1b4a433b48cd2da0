"""Ganeti as it is installed on this machine, run as it is: no stubs, no adaptations."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.ganeti.daemons import OPTIONAL_DAEMONS
from pytest_ganeti_vcluster.ganeti.farm import SYSTEM_PATH, Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation

#: RAPI listens on 127.0.0.1 only, unless told otherwise.
RAPI_ARGUMENTS = ("-b", "0.0.0.0", "--require-authentication")  # noqa: S104

#: Where packages, and `make install`, put Ganeti's programs.
_SBIN = (Path("/usr/sbin"), Path("/usr/local/sbin"))


class UnmodifiedGaneti(Farm):
    """Takes the place of a farm on nodes that are machines: programs are where they were installed."""

    @property
    def is_adapted(self) -> bool:
        """False: nothing is changed."""
        return False

    @property
    def sbin(self) -> Path:
        """Folder of gnt-* and ganeti-*."""
        return _sbin()

    @property
    def lib(self) -> Path:
        """Folder of daemon-util."""
        return self.installation.pkglib

    def optional_daemons(self, wanted: Sequence[str]) -> list[str]:
        """Return those that Ganeti's own init and join start, too."""
        listed = [name for name in OPTIONAL_DAEMONS if f"ganeti-{name}" in self.daemons]
        return list(dict.fromkeys([*wanted, *listed]))

    def daemon_arguments(self, name: str, ip: str) -> list[str]:  # noqa: ARG002
        """Return what stands in etc/default/ganeti: daemons listen on all addresses, of which RAPI has to be told."""
        return list(RAPI_ARGUMENTS) if name == "rapi" else []

    def environment(self) -> dict[str, str]:
        """Return what makes daemon-util be found; Ganeti needs no variables."""
        return {"PATH": ":".join([*SYSTEM_PATH, str(self.lib)])}


def run_unmodified(installation: GanetiInstallation, folder: Path) -> UnmodifiedGaneti:
    """Run the machine's own Ganeti; `folder`, which must not exist, is made for what goes with it.

    Raises `EngineUnavailable` for a Ganeti that is not where it was built to be.
    """
    check_unmodified(installation)
    folder.mkdir(parents=True)
    program = [str(installation.pkglib / "daemon-util"), "list-start-daemons"]
    listed = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return UnmodifiedGaneti(folder, installation, tuple(listed.stdout.split()))


def check_unmodified(installation: GanetiInstallation) -> None:
    """Raise `EngineUnavailable` for a Ganeti that is not where it was built to be: it finds nothing of itself."""
    if installation.prefix != Path("/"):
        raise EngineUnavailable(
            f"engine 'namespaces' runs Ganeti unmodified, and {installation} is in {installation.prefix}, where it"
            " would not find its own files",
            cure='have Ganeti installed on this machine (--vcluster-ganeti=system), or use engine "loopback"',
        )


def _sbin() -> Path:
    return next((folder for folder in _SBIN if (folder / "gnt-cluster").exists()), _SBIN[0])
