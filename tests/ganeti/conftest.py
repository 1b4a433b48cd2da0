"""Prefixes with parts of the real installation, to be broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.ganeti.installation import (
    MANIFEST,
    GanetiInstallation,
    find_installation,
    installations_folder,
)
from pytest_ganeti_vcluster.settings import Settings

MakePrefix = Callable[..., Path]


@pytest.fixture(scope="session")
def real() -> GanetiInstallation:
    """The Ganeti of this machine."""
    return find_installation(Settings.read())


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: GanetiInstallation) -> Path:
    """Folder for fetched installations of which there are none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return installations_folder()


@pytest.fixture
def make_prefix(real: GanetiInstallation) -> MakePrefix:
    """Make a prefix whose scripts are copies and whose binaries are links to the real ones."""

    def make(
        prefix: Path, *, version: str = "", base: str = "usr", series: str = "", fetched: bool = True
    ) -> Path:
        share = prefix / base / "share/ganeti" / (series or real.series)
        lib = prefix / base / "lib/ganeti" / (series or real.series)
        shutil.copytree(
            real.share,
            share,
            ignore=shutil.ignore_patterns("__pycache__", "root", "cmdlib", "hypervisor", "client"),
        )
        inner = lib / base
        for name, folder in (("sbin", real.sbin), ("bin", real.bin), ("lib/ganeti", real.pkglib)):
            (inner / name).mkdir(parents=True)
            for path in folder.iterdir():
                (inner / name / path.name).symlink_to(path.resolve())
        if version:
            constants = share / "ganeti/_constants.py"
            text = constants.read_text(encoding="utf-8")
            constants.write_text(
                text.replace(f'RELEASE_VERSION = "{real.version}"', f'RELEASE_VERSION = "{version}"'),
                encoding="utf-8",
            )
        wrapper = prefix / "usr/lib/libnss_wrapper.so"
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.symlink_to(real.nss_wrapper)
        if fetched:
            manifest = {"version": version or real.version, "python": str(real.python)}
            (prefix / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        else:
            script = share / "gnt-cluster"
            code = script.read_text(encoding="utf-8").partition("\n")[2]
            script.write_text(f"#!{real.python}\n{code}", encoding="utf-8")
        return prefix

    return make
