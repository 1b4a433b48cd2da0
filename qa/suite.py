"""Getting the suite: from Debian's package of the same version, without root, or from a folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import InstallFailed, UserError
from pytest_ganeti_vcluster.ganeti.fetch.apt import PrivateApt, check_programs
from pytest_ganeti_vcluster.ganeti.fetch.records import upstream_version
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.tree import version_matches
from pytest_ganeti_vcluster.settings import cache_folder

PACKAGE = "ganeti-testsuite"
_BELOW_PACKAGE = "usr/share/ganeti/testsuite"
_PROGRAM = "qa/ganeti-qa.py"

#: Programs that the suite looks for beside itself, as in Ganeti's source.
_TOOLS = ("burnin", "move-instance")


@attrs.frozen
class Suite:
    """The suite, unaltered: `folder` has its `qa`; `told` says where it is from."""

    folder: Path
    told: str


def get_suite(installation: GanetiInstallation, folder: Path | None) -> Suite:
    """Return the suite in `folder` (Ganeti's source, or the package unpacked), or fetch the one of this Ganeti.

    Raises `UserError` for a folder without it, `InstallFailed` where it cannot be fetched.
    """
    if folder is not None:
        found = next(
            (path for path in (folder, folder / _BELOW_PACKAGE) if (path / _PROGRAM).is_file()), None
        )
        if found is None:
            raise UserError(f"{folder} has no {_PROGRAM}", cure="give the folder of Ganeti's source, or none")
        return Suite(found, str(folder))
    return _fetched(installation)


def _fetched(installation: GanetiInstallation) -> Suite:
    kept = cache_folder() / "qa"
    for path in sorted(kept.glob(f"{PACKAGE}_*")):
        if version_matches(upstream_version(path.name.partition("_")[2]), installation.version):
            return Suite(path / _BELOW_PACKAGE, path.name)
    check_programs()
    apt = PrivateApt(kept / "apt")
    apt.prepare()
    apt.update(lambda _fraction: None)
    offered = apt.offered(PACKAGE)
    fitting = [one for one in offered if version_matches(upstream_version(one), installation.version)]
    if not fitting:
        raise InstallFailed(
            f"the package sources of this system offer no {PACKAGE} for Ganeti {installation.version}",
            seen=f"offered: {', '.join(offered) or 'none'}",
            cure="give a folder with Ganeti's source of that version (--suite)",
        )
    [record] = apt.records([(PACKAGE, fitting[0])])
    [package] = apt.fetch([record], lambda _fraction: None)
    folder = kept / f"{PACKAGE}_{fitting[0]}"
    staging = folder.with_name(f".{folder.name}")
    shutil.rmtree(staging, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(package), str(staging)], check=True)
    staging.rename(folder)
    shutil.rmtree(apt.folder)
    return Suite(folder / _BELOW_PACKAGE, folder.name)


def lay_out(suite: Suite, folder: Path, tools: Path) -> Path:
    """Make a copy of the suite in `folder` that has Ganeti's tools beside it, from `tools`; return it."""
    shutil.copytree(suite.folder / "qa", folder / "qa", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tools").mkdir()
    for name in _TOOLS:
        (folder / "tools" / name).symlink_to(tools / name)
    return folder
