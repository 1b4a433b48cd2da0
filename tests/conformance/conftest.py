"""Public clients, as they are found on PyPI and in Debian, each in a folder that is thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

#: Seconds that a package index may take for dozens of packages.
_FETCHING = 1500.0

PROGRAMS = Path(__file__).parent / "programs"


def fetch(*argv: str, cwd: Path) -> None:
    """Run what fetches or unpacks; skip the test, with the reason, where it cannot be had."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=_FETCHING
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{argv[0]} {argv[1]}: {error}")
    if done.returncode:
        pytest.skip(f"{' '.join(argv)} did not get it: {done.stderr.strip()[-300:]}")


@pytest.fixture
def python_with(tmp_path: Path) -> Callable[..., Path]:
    """Make a virtual environment with some packages from the index that pip is set up for; return its Python."""

    def make(*packages: str) -> Path:
        folder = tmp_path / "venv"
        fetch(sys.executable, "-m", "virtualenv", "-q", str(folder), cwd=tmp_path)
        python = folder / "bin" / "python"
        fetch(str(python), "-m", "pip", "install", "-q", *packages, cwd=tmp_path)
        return python

    return make


@pytest.fixture
def debian_package(tmp_path: Path) -> Callable[[str], Path]:
    """Unpack a package of the machine's Debian, which is not installed; return the folder."""

    def get(name: str) -> Path:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            pytest.skip("this machine is no Debian")
        fetch("apt-get", "download", name, cwd=tmp_path)
        [package] = tmp_path.glob(f"{name}_*.deb")
        folder = tmp_path / name
        fetch("dpkg-deb", "-x", str(package), str(folder), cwd=tmp_path)
        return folder

    return get
