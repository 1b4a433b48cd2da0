"""Fetch a Ganeti into a folder: whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from pytest_ganeti_vcluster.errors import GanetiNotFound, InstallFailed, UserError
from pytest_ganeti_vcluster.ganeti.fetch import environment, libraries, packages
from pytest_ganeti_vcluster.ganeti.fetch.apt import PrivateApt, check_programs
from pytest_ganeti_vcluster.ganeti.fetch.records import Record
from pytest_ganeti_vcluster.ganeti.fetch.report import Report, Silence
from pytest_ganeti_vcluster.ganeti.installation import (
    MANIFEST,
    GanetiInstallation,
    installation_at,
    installations_folder,
)
from pytest_ganeti_vcluster.ganeti.tools import library_folders
from pytest_ganeti_vcluster.ganeti.tree import trees, version_key, version_matches
from pytest_ganeti_vcluster.settings import cache_folder

#: Room for what is fetched, unpacked and compiled, in bytes: 420 MB were seen.
ROOM_NEEDED = 600_000_000
_STAGING = ".staging-"


def install(
    wanted: str = "", *, force: bool = False, destination: Path | None = None, report: Report | None = None
) -> tuple[GanetiInstallation, bool]:
    """Fetch a Ganeti, without root, and give it and whether anything was done.

    `wanted` is a version or the beginning of one; empty: the one that the distribution prefers. A version that only
    Debian's backports of this release have is taken from there. It goes into the cache, or to `destination`. One
    that is there, whole, is left alone unless `force`. Whatever happens, there is either the whole installation
    afterwards or what was before; files fetched by a try that failed are kept for the next.

    Raises `InstallFailed`; `UserError` where `destination` is taken by something else.
    """
    report = report or Silence()
    if destination is not None:
        destination = destination.expanduser().absolute()
        _check_destination(destination)
    if not force:
        present = _present(wanted, destination)
        if present is not None:
            return present, False
    try:
        with _alone(report):
            # Another process may just have done the same.
            present = None if force else _present(wanted, destination)
            if present is not None:
                return present, False
            return _install(wanted, destination, report), True
    except OSError as err:
        raise _failed(err) from err


def _present(wanted: str, destination: Path | None) -> GanetiInstallation | None:
    if destination is not None:
        prefixes = [destination]
    else:
        prefixes = [path for path in installations_folder().glob("*") if not path.name.startswith(".")]
    found = []
    for prefix in prefixes:
        if (prefix / MANIFEST).is_file():
            with contextlib.suppress(GanetiNotFound):
                found.append(installation_at(prefix, "fetched packages"))
    fitting = [one for one in found if not wanted or version_matches(one.version, wanted)]
    return max(fitting, key=lambda one: version_key(one.version), default=None)


def _check_destination(destination: Path) -> None:
    if not destination.exists() or _is_ours(destination):
        return
    if not destination.is_dir() or any(destination.iterdir()):
        raise UserError(
            f"{destination} has something in it that was not made by `ganeti-vcluster install`",
            cure="name another folder, or empty this one",
        )


def _is_ours(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"python", "packages", "created"} <= set(manifest)


def _install(wanted: str, destination: Path | None, report: Report) -> GanetiInstallation:
    check_programs()
    downloads = cache_folder() / "downloads"
    for folder in {downloads, destination.parent if destination else installations_folder()}:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder)
    python = environment.choose_interpreter()

    apt = PrivateApt(downloads / "apt")
    apt.prepare()
    report.step("Fetching the package lists")
    apt.update(report.fraction)
    if not packages.is_offered(apt, wanted) and apt.add_backports():
        report.step("Fetching the package lists of Debian's backports")
        apt.update(report.fraction)
    report.step("Choosing the packages")
    choice = packages.choose(apt, wanted)
    final = destination or installations_folder() / ("ganeti-" + re.sub(r"[^\w.+~-]", "_", choice.version))

    with _staging(final) as staging:
        fetched = _unpack(apt, [*choice.packages, *choice.libraries], staging, report)
        fetched += _complete_libraries(apt, choice, staging, report)
        report.step("Fetching Python modules")
        environment.make_environment(staging / "venv", python, downloads)
        report.step("Compiling Ganeti's Python")
        tree = trees(staging)[0]
        environment.compile_modules(staging / "venv/bin/python", tree.share, staging, final)
        _write_manifest(staging, tree.version, python, fetched)
        report.step("Checking")
        installation_at(staging, "fetched packages")
        _put_in_place(staging, final)
    shutil.rmtree(downloads, ignore_errors=True)
    return installation_at(final, "fetched packages")


def _unpack(
    apt: PrivateApt, wanted: Sequence[tuple[str, str]], staging: Path, report: Report
) -> list[Record]:
    described = apt.records(wanted)
    size = sum(record.size for record in described) / 1e6
    report.step(f"Fetching {len(described)} packages, {size:.1f} MB")
    files = apt.fetch(described, report.fraction)
    report.step(f"Unpacking {len(files)} packages")
    for number, file in enumerate(files, 1):
        done = subprocess.run(
            ["dpkg-deb", "-x", str(file), str(staging)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InstallFailed(
                f"{file.name} cannot be unpacked",
                seen=done.stderr,
                cure="look whether the disk is full, then run this again; what was fetched is kept",
            )
        report.fraction(number / len(files))
    return described


def _complete_libraries(
    apt: PrivateApt, choice: packages.Choice, staging: Path, report: Report
) -> list[Record]:
    """Have the loader find every library; fetch those that the host says it has and has not."""
    report.step("Checking shared libraries")
    fetched: list[Record] = []
    missing = _missing(staging)
    if missing and choice.others:
        fetched = _unpack(apt, choice.others, staging, report)
        missing = _missing(staging)
    if missing:
        raise InstallFailed(
            f"Ganeti {choice.version} does not fit this system's libraries",
            seen="\n".join(f"{path.relative_to(staging)} needs {name}" for name, path in missing.items()),
            cure="ask for the version that this distribution itself offers, or use a newer distribution"
            " (a container will do)",
        )
    return fetched


def _missing(staging: Path) -> dict[str, Path]:
    return libraries.missing_libraries(libraries.programs_below(staging), library_folders(staging))


def _write_manifest(staging: Path, version: str, python: Path, fetched: Sequence[Record]) -> None:
    manifest = {
        "version": version,
        "python": "venv/bin/python",
        "base_python": str(python),
        "modules": environment.modules_in(staging / "venv"),
        "packages": [
            {"name": record.name, "version": record.version, "sha256": record.sha256} for record in fetched
        ],
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _alone(report: Report) -> Iterator[None]:
    """Keep other installations of this user out; the lock file stays, as lock files must."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "install.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        report.step("Waiting for another `ganeti-vcluster install` to end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _staging(final: Path) -> Iterator[Path]:
    """Give a folder beside `final`, gone at the end; those of killed processes are reaped first."""
    beginning = f".{final.name}{_STAGING}"
    for stale in final.parent.glob(beginning + "*"):
        shutil.rmtree(stale, ignore_errors=True)
    staging = final.parent / f"{beginning}{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, final: Path) -> None:
    old = staging.with_name(staging.name + ".old")
    if final.exists():
        final.rename(old)
    staging.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < ROOM_NEEDED:
        raise InstallFailed(
            f"{folder} has {free / 1e6:.0f} MB left; {ROOM_NEEDED / 1e6:.0f} MB are needed",
            cure="make room, or point XDG_CACHE_HOME to a folder on another disk",
        )


def _failed(err: OSError) -> InstallFailed:
    if err.errno in {errno.ENOSPC, errno.EDQUOT}:
        return InstallFailed(
            f"the disk is full: {err}", cure="make room, then run this again; what was fetched is kept"
        )
    return InstallFailed(f"a file could not be written or read: {err}", cure="mend that, then run this again")
