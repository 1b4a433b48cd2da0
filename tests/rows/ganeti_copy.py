"""A Ganeti of a test's own, to be altered as a packager would."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation


def copy_ganeti(ganeti: GanetiInstallation, prefix: Path) -> Path:
    """Copy an installation's Python into an empty prefix, and link to its binaries; return the copy's `share`."""
    share = prefix / "usr/share/ganeti" / ganeti.series
    shutil.copytree(ganeti.share, share, ignore=shutil.ignore_patterns("__pycache__"))
    lib = prefix / "usr/lib/ganeti"
    lib.mkdir(parents=True)
    (lib / ganeti.series).symlink_to(ganeti.lib)
    return share
