"""The private Python environment of a fetched Ganeti: a virtualenv with pinned modules, checked by hash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_ganeti_vcluster.errors import InstallFailed
from pytest_ganeti_vcluster.ganeti.installation import SYSTEM_PYTHON

REQUIREMENTS = Path(__file__).parent.parent / "data" / "requirements.txt"

#: Pythons for which the pinned modules exist as wheels.
_OLDEST, _NEWEST = (3, 9), (3, 13)
_PROBE = "import sys, venv, zlib, ssl; print(*sys.version_info[:2])"

#: What would lead pip past the environment, and what would let it prefer sources over wheels.
_MISLEADING = {
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON"),
    *("PIP_NO_BINARY", "PIP_ONLY_BINARY", "PIP_REQUIREMENT", "PIP_CONSTRAINT"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV"),
}


def choose_interpreter() -> Path:
    """Find a Python that the pinned modules fit: the system's, else ours, else another on PATH."""
    others = (shutil.which(f"python3.{minor}") for minor in range(_NEWEST[1], _OLDEST[1] - 1, -1))
    ours = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    seen = []
    for python in dict.fromkeys([SYSTEM_PYTHON, ours, *(Path(other) for other in others if other)]):
        version = _version(python)
        if version is not None and _OLDEST <= version <= _NEWEST:
            return python
        found = "does not run" if version is None else f"is Python {version[0]}.{version[1]}"
        seen.append(f"{python}: {found}")
    raise InstallFailed(
        "no Python was found that Ganeti's modules fit",
        seen="\n".join(seen),
        cure=f"install a Python {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]} where PATH finds it",
    )


def _version(python: Path) -> tuple[int, int] | None:
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _PROBE], capture_output=True, text=True, check=True, timeout=20
        )
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return int(major), int(minor)


def make_environment(folder: Path, base: Path, cache: Path) -> None:
    """Make a Python environment in `folder` from interpreter `base`; what is fetched is kept in `cache`."""
    _run(
        "make a Python environment",
        [sys.executable, "-m", "virtualenv", "--quiet", "--python", str(base), "--no-download",
         "--no-periodic-update", "--app-data", str(cache / "virtualenv"), str(folder)],
    )  # fmt: skip
    pinned = _requirements()
    # pyinotify comes as source only: its builder is fetched first, pinned and hashed as the rest.
    for title, chosen, options in (
        ("fetch the builder of Python modules", [text for text in pinned if _name(text) == "setuptools"], ()),
        ("fetch Python modules", pinned, ("--no-binary", "pyinotify", "--no-build-isolation")),
    ):
        listed = folder / "requirements.txt"
        listed.write_text("\n".join(chosen) + "\n", encoding="utf-8")
        _run(
            title,
            [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input", "--no-deps",
             "--no-warn-script-location", "--require-hashes", "--only-binary", ":all:", *options,
             "--cache-dir", str(cache / "pip"), "-r", str(listed)],
        )  # fmt: skip


def modules_in(folder: Path) -> dict[str, str]:
    """Tell the versions of the modules in an environment, by name."""
    found = (
        path.name.rpartition(".")[0].partition("-")
        for path in folder.glob("lib/python3*/site-packages/*-info")
    )
    return {name: version for name, _dash, version in sorted(found)}


def compile_modules(python: Path, code: Path, staging: Path, final: Path) -> None:
    """Compile Ganeti's Python for `python`: else the first start of everything costs 20 s."""
    _run(
        "compile Ganeti's Python",
        [str(python), "-m", "compileall", "-q", "-s", str(staging), "-p", str(final), str(code)],
    )


def _requirements() -> list[str]:
    """Split the pins into one text each."""
    text = re.sub(r"^#.*\n", "", REQUIREMENTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [part.strip() for part in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if part.strip()]


def _name(requirement: str) -> str:
    return requirement.partition("==")[0]


def _run(title: str, command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment = {name: value for name, value in environment.items() if not name.startswith("VIRTUALENV_")}
    environment |= {"PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise InstallFailed(
            f"could not {title}",
            seen="\n".join(done.stdout.strip().splitlines()[-15:]),
            cure="check the network, pip's settings (PIP_*, pip config list) and the room on disk,"
            " then run this again; what arrived is kept",
        )
