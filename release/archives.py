"""Look at the archives of a release: `python -m release.archives FOLDER`."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PACKAGE = "pytest_ganeti_vcluster"
#: What of the repository only its own keeping needs.
_LEFT_OUT = {".gitignore"}
_NEEDED = {"Name", "Version", "Summary", "License-Expression", "Keywords", "Requires-Python"}


def versioned() -> set[str]:
    """Name the files of the repository."""
    found = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True)
    return set(found.stdout.splitlines()) - _LEFT_OUT


def check_sources(archive: Path) -> list[str]:
    """Say what an archive of sources lacks."""
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    return [f"{archive.name} lacks {name}" for name in sorted(versioned() - names)]


def check_wheel(archive: Path) -> list[str]:
    """Say what a wheel lacks of the package or its metadata, and what should not be in it."""
    with zipfile.ZipFile(archive) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        headers = email.message_from_bytes(opened.read(metadata))
    expected = {name for name in versioned() if name.startswith(f"{PACKAGE}/")}
    return [
        *(f"{archive.name} lacks {name}" for name in sorted(expected - names)),
        *(f"{archive.name} has {name}" for name in sorted(names - expected)),
        *(f"{archive.name} does not tell its {name}" for name in sorted(_NEEDED - set(headers))),
    ]


def main(folder: Path) -> int:
    """Look at both; the exit status."""
    sources, wheels = list(folder.glob("*.tar.gz")), list(folder.glob("*.whl"))
    if len(sources) != 1 or len(wheels) != 1:
        print(f"one archive of sources and one wheel were to be in {folder}: {sorted(folder.iterdir())}")
        return 1
    problems = check_sources(sources[0]) + check_wheel(wheels[0])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
