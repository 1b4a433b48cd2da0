"""Which shared libraries the fetched programs miss, as the dynamic loader itself sees it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
_UNUSABLE = re.compile(r"error while loading shared libraries: ([^:\n]+): ")
_TOO_OLD = re.compile(r"version `([^']+)' not found \(required by ([^)]+)\)")


def programs_below(folder: Path) -> list[Path]:
    """List the ELF programs and libraries below a folder."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and _is_elf(path)
    ]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def missing_libraries(programs: Iterable[Path], library_path: Sequence[Path]) -> dict[str, Path]:
    """Map what the loader does not find, a library or a version in one, to a program that needs it."""
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    environment["LD_LIBRARY_PATH"] = ":".join(map(str, library_path))
    environment["LC_ALL"] = "C"
    missing: dict[str, Path] = {}
    for program in programs:
        done = subprocess.run(
            ["ldd", str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        for name in (*_NOT_FOUND.findall(done.stdout), *_UNUSABLE.findall(done.stderr + done.stdout)):
            missing.setdefault(name, program)
        for version, _needing in _TOO_OLD.findall(done.stderr + done.stdout):
            missing.setdefault(version, program)
    return missing
