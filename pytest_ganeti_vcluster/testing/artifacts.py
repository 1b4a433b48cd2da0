"""Where what is kept of a failed test goes."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

#: Longest name that a folder gets from a test id; file systems end at 255 bytes.
_LONGEST = 150


def new_folder(place: Path, test_id: str, phase: str) -> Path:
    """Make `place`/TEST/TIME-PHASE for a phase of a test that failed; no run has the same again. Raises `OSError`."""
    parent = place / folder_name(test_id)
    parent.mkdir(parents=True, exist_ok=True)
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{phase}"
    number = 1
    while True:
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def folder_name(test_id: str) -> str:
    """Make a name for a folder of a test id: as much of it as any file system takes."""
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", test_id.replace("::", "__")).strip("-.")
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(test_id.encode()).hexdigest()[:8]
    return f"{name[:_LONGEST]}-{digest}"
