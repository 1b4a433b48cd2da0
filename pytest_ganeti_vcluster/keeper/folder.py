"""Removing a cluster's root folder, whatever its processes left in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from pytest_ganeti_vcluster.keeper.record import KEEPER_FILE, STARTER_FILE

#: What says whose a root is; it goes last, so that a removal that is broken off can be gone on with by
#: whoever reaps.
_LAST = (STARTER_FILE, KEEPER_FILE)


def remove_root(root: Path) -> bool:
    """Remove a root; whether it is gone. Symbolic links are removed, never followed."""
    for entry in _entries(root):
        if entry.name not in _LAST:
            remove_path(entry)
    if all(entry.name in _LAST for entry in _entries(root)):
        with contextlib.suppress(OSError):
            for name in _LAST:
                (root / name).unlink(missing_ok=True)
            root.rmdir()
    return not root.exists()


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder, as far as it can be, folders that are closed to us, too."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        # Something in it forbids it: folders without permissions, which a real node has too.
        _open_up(path)
        shutil.rmtree(path, ignore_errors=True)


def _open_up(top: Path) -> None:
    _open_folder(top)
    for parent, names, _ in os.walk(top):
        # os.walk() looks into a folder only when we ask for the next: by then it is open.
        for name in names:
            _open_folder(Path(parent, name))


def _open_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        mode = folder.lstat().st_mode
        if stat.S_ISDIR(mode):
            folder.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
