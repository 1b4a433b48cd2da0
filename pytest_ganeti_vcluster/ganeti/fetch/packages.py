"""Which packages make a Ganeti that runs on this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import InstallFailed
from pytest_ganeti_vcluster.ganeti.fetch import records
from pytest_ganeti_vcluster.ganeti.fetch.apt import PrivateApt
from pytest_ganeti_vcluster.ganeti.tools import find_openssh_part, find_program
from pytest_ganeti_vcluster.ganeti.tree import version_matches

DPKG_STATUS = Path("/var/lib/dpkg/status")

#: Programs that a cluster runs, and the packages that are fetched where the host lacks them.
_PROGRAMS = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "start-stop-daemon": "dpkg",
    "openssl": "openssl",
    "ip": "iproute2",
    "socat": "socat",
}


@attrs.frozen
class Choice:
    """Packages to fetch, as names with versions.

    `libraries` are those that the host does not have installed; `others` the further libraries that these
    packages need, which the host says it has.
    """

    version: str
    packages: tuple[tuple[str, str], ...]
    libraries: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]


def choose(apt: PrivateApt, wanted: str) -> Choice:
    """Choose the packages of the best Ganeti offered that is `wanted`: a version, its beginning, or empty."""
    offered = apt.offered("ganeti")
    fitting = _fitting(offered, wanted)
    if not fitting:
        raise InstallFailed(
            f"the package sources of this system offer no Ganeti {wanted}".rstrip(),
            seen=f"offered: {', '.join(offered) or 'none'}",
            cure="ask for a version that is offered, or add a source that has it to /etc/apt (Ubuntu: universe)",
        )
    ganeti = ("ganeti", fitting[0])
    series = records.series_packages(apt.records([ganeti])[0].depends)
    parts = [(name, _version_like(apt, name, fitting[0])) for name in series]
    tools = [(name, _best(apt, name)) for name in ("libnss-wrapper", *_lacking())]
    # The series' Python package pulls in Debian's modules and LVM; only what has binaries is followed.
    binary = [part for part in parts if "-haskell-" in part[0] or "-htools-" in part[0]]
    closure = records.shared_library_packages(apt.closure([*binary, *tools]))
    installed = records.installed_packages(_status())
    chosen = [ganeti, *parts, *tools]
    libraries = [package for package in closure if package not in chosen]
    return Choice(
        version=fitting[0],
        packages=tuple(chosen),
        libraries=tuple(package for package in libraries if package[0] not in installed),
        others=tuple(package for package in libraries if package[0] in installed),
    )


def is_offered(apt: PrivateApt, wanted: str) -> bool:
    """Tell whether the sources offer a Ganeti that is `wanted`, as in `choose`."""
    return bool(_fitting(apt.offered("ganeti"), wanted))


def _fitting(offered: Sequence[str], wanted: str) -> list[str]:
    return [
        version
        for version in offered
        if not wanted or version_matches(records.upstream_version(version), wanted)
    ]


def _version_like(apt: PrivateApt, name: str, version: str) -> str:
    """Take a part's version equal to `ganeti`'s; a rebuild for one architecture has `+b1` appended."""
    offered = apt.offered(name)
    for one in offered:
        if one == version or one.startswith(version + "+b"):
            return one
    raise InstallFailed(
        f"ganeti {version} needs {name} of the same version, which is not offered",
        seen=f"offered: {', '.join(offered) or 'none'}",
        cure="wait for the mirror to be whole, or ask for another version",
    )


def _best(apt: PrivateApt, name: str) -> str:
    offered = apt.offered(name)
    if not offered:
        raise InstallFailed(
            f"the package sources of this system offer no {name}",
            cure="add the distribution's main archive (Ubuntu: universe, too) to /etc/apt",
        )
    return offered[0]


def _lacking() -> list[str]:
    """Name the packages whose programs the host lacks; looked for, because dpkg's status may not hold."""
    lacking = [package for program, package in _PROGRAMS.items() if find_program(program) is None]
    if find_openssh_part("sftp-server") is None:
        lacking.append("openssh-sftp-server")
    return list(dict.fromkeys(lacking))


def _status() -> str:
    try:
        return DPKG_STATUS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
