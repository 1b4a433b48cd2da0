"""Trees of Ganeti as `make install DESTDIR=` lays them out, made of the files of an installation that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation


def make_tree(
    source: GanetiInstallation,
    folder: Path,
    *,
    base: str = "usr/local",
    version: str = "",
    copies: bool = False,
) -> Path:
    """Lay out the files of `source` in `folder`, which must not exist, as for `configure --prefix=/BASE`.

    With a `version`, Ganeti's Python says that it is of that one; its Haskell daemons are what they were. Binaries
    are links to those of `source`, or `copies`.
    """
    share = folder / base / "share/ganeti" / source.series
    inner = folder / base / "lib/ganeti" / source.series / base
    shutil.copytree(source.share, share, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "root"))
    for name, origin in (("sbin", source.sbin), ("bin", source.bin), ("lib/ganeti", source.pkglib)):
        _lay_out(origin, inner / name, copies=copies)
    # As install-exec-local in Makefile.am: what is in PATH goes by /etc/ganeti, which is the machine's.
    for place, names in (("share", _names(source.share, "gnt-*")), ("lib", _names(source.sbin, "ganeti-*"))):
        sbin = folder / base / "sbin"
        sbin.mkdir(parents=True, exist_ok=True)
        default = folder / base / place / "ganeti/default"
        default.symlink_to(f"/etc/ganeti/{place}")
        for name in names:
            inside = name if place == "share" else f"{base}/sbin/{name}"
            (sbin / name).symlink_to(f"/{base}/{place}/ganeti/default/{inside}")
    for name in ("lib/ganeti", "log/ganeti", "run/ganeti"):
        (folder / "var" / name).mkdir(parents=True)
    if version:
        constants = share / "ganeti/_constants.py"
        text = constants.read_text(encoding="utf-8")
        changed = text.replace(f'RELEASE_VERSION = "{source.version}"', f'RELEASE_VERSION = "{version}"')
        assert changed != text
        constants.write_text(changed, encoding="utf-8")
    return folder


def _lay_out(origin: Path, target: Path, *, copies: bool) -> None:
    target.mkdir(parents=True)
    for path in origin.iterdir():
        if path.is_dir() and not path.is_symlink():
            _lay_out(path, target / path.name, copies=copies)
        elif copies and path.exists():
            shutil.copy2(path.resolve(), target / path.name)
        elif path.exists():
            (target / path.name).symlink_to(path.resolve())


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))
