"""How this engine's own programs are run: by our Python, with nothing but the standard library."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest_ganeti_vcluster

#: Where programs are looked for, here and on nodes.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def own_program(module: str) -> list[str]:
    """Return what runs a module of this package, as little of it as can be."""
    return [sys.executable, "-S", "-B", "-m", f"{__package__}.{module}"]


def outer_environment() -> dict[str, str]:
    """Return the variables of what runs on no node."""
    package = Path(pytest_ganeti_vcluster.__file__).parent.parent
    return {"LANG": "C.UTF-8", "PATH": PATH, "PYTHONPATH": os.fspath(package)}
