"""Wherever a process is killed that builds or removes an image, the next one finds nothing half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .kill_everywhere import DEEDS


@pytest.mark.parametrize("deed", DEEDS)
def test_killed_at_each_change_of_a_file(deed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.images.kill_everywhere", deed, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wrong, places = json.loads(done.stdout)
    assert wrong == []
    assert places > 10
    print(f"{deed}: killed in {places} places")
