"""Ganeti run as it is, with no stubs and no adaptations, where it was built to be.

That is on this machine, or on nodes that are machines, where a folder that it was unpacked to, or installed to by `make
install DESTDIR=`, is laid over the machine's /usr.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_ganeti_vcluster.engines.namespaces.layers import NO_LAYERS, Layers
from pytest_ganeti_vcluster.engines.namespaces.machine import OUTSIDE_MODULES
from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.ganeti.daemons import OPTIONAL_DAEMONS
from pytest_ganeti_vcluster.ganeti.farm import SYSTEM_PATH, Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation

#: RAPI listens on 127.0.0.1 only, unless told otherwise.
RAPI_ARGUMENTS = ("-b", "0.0.0.0", "--require-authentication")  # noqa: S104

#: Where packages, and `make install`, put Ganeti's programs.
_SBIN = ("usr/sbin", "usr/local/sbin")

_ROOT = Path("/")
#: The Python that Ganeti was built for, where it was built.
_PYTHON = Path("/usr/bin/python3")
_ASK_PYTHON = (
    "import json, site, sys; print(json.dumps([site.getsitepackages(), list(sys.version_info[:2])]))"
)

# Separate or escape what stands in the options of a mount.
_SPECIAL = frozenset(':,\\"')


class UnmodifiedGaneti(Farm):
    """Takes the place of a farm on nodes that are machines: programs are where they were installed."""

    @property
    def is_adapted(self) -> bool:
        """False: nothing is changed."""
        return False

    @property
    def sbin(self) -> Path:
        """Folder of gnt-* and ganeti-*."""
        prefix = self.installation.prefix
        # Their links lead to where they are to be.
        found = (folder for folder in _SBIN if (prefix / folder / "gnt-cluster").is_symlink())
        return _ROOT / next(found, _SBIN[0])

    @property
    def lib(self) -> Path:
        """Folder of daemon-util."""
        return _ROOT / self.installation.pkglib.relative_to(self.installation.prefix)

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
    """Run a Ganeti as it is; `folder`, which must not exist, is made for what goes with it.

    Raises `EngineUnavailable` for one that cannot be where it was built to be.
    """
    check_unmodified(installation)
    folder.mkdir(parents=True)
    _link_modules(installation, folder)
    program = [str(installation.pkglib / "daemon-util"), "list-start-daemons"]
    listed = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return UnmodifiedGaneti(folder, installation, tuple(listed.stdout.split()))


def check_unmodified(installation: GanetiInstallation) -> None:
    """Raise `EngineUnavailable` for a Ganeti that cannot be where it was built to be: it would not find itself."""
    prefix = installation.prefix
    if prefix == _ROOT:
        return
    why = ""
    if not installation.share.is_relative_to(prefix / "usr"):
        why = "it was not built for /usr, where its folder could be laid over the machine's"
    elif _SPECIAL & set(str(prefix)):
        why = "no folder of such a name can be mounted"
    elif not _has_python_for(_modules_of(installation)):
        why = f"it brings Python modules for {installation.python}, and {_PYTHON} is of another version or missing"
    if why:
        raise EngineUnavailable(
            f"engine 'namespaces' runs Ganeti unmodified, and cannot run {installation}, in {prefix}: {why}",
            cure='have Ganeti installed on this machine (--vcluster-ganeti=system), or use engine "loopback"',
        )


def layers_of(installation: GanetiInstallation, folder: Path) -> Layers:
    """Return what is laid over /usr of nodes; `folder` as in `run_unmodified`."""
    if installation.prefix == _ROOT:
        return NO_LAYERS
    return Layers((folder / "usr", installation.prefix / "usr"), _modules_of(installation))


def _modules_of(installation: GanetiInstallation) -> Path | None:
    """Return the folder of Python modules that an installation brings with it; None without."""
    found = sorted((installation.prefix / "venv/lib").glob("python3.*/site-packages"))
    return found[0] if found else None


def version_links(installation: GanetiInstallation) -> dict[str, str]:
    """Return, by name, the links in /etc/ganeti by which a version of Ganeti is chosen; none where there are none."""
    if installation.prefix != _ROOT:
        places = {"share": installation.share, "lib": installation.lib}
        return {name: str(_ROOT / place.relative_to(installation.prefix)) for name, place in places.items()}
    conf = Path("/etc/ganeti")
    entries = conf.iterdir() if conf.is_dir() else ()
    return {entry.name: str(entry.readlink()) for entry in entries if entry.is_symlink()}


def _link_modules(installation: GanetiInstallation, folder: Path) -> None:
    """Have the modules that an installation brings be where the machine's Python looks, in a layer over /usr."""
    modules, (places, _version) = _modules_of(installation), _python()
    if installation.prefix == _ROOT:
        return
    (folder / "usr").mkdir()
    if modules is None:
        return
    place = folder / Path(places[0]).relative_to("/")
    place.mkdir(parents=True)
    for entry in modules.iterdir():
        (place / entry.name).symlink_to(Path(OUTSIDE_MODULES, entry.name))


def _has_python_for(modules: Path | None) -> bool:
    if modules is None:
        return True
    places, version = _python()
    return bool(places) and modules.parent.name == "python" + ".".join(map(str, version))


def _python() -> tuple[list[str], tuple[int, ...]]:
    """Return where the machine's Python has modules in /usr, and its version; nowhere without one."""
    asked = subprocess.run([_PYTHON, "-c", _ASK_PYTHON], capture_output=True, text=True, check=False)
    if asked.returncode:
        return [], ()
    places, version = json.loads(asked.stdout)
    own = [place for place in places if place.startswith("/usr/lib") and Path(place).is_dir()]
    return own, tuple(version)
