"""The machine that measures."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import psutil

from pytest_ganeti_vcluster.scale.results import Machine

_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


def this_machine() -> Machine:
    """Tell what this machine is; `processor` is empty where the kernel does not name it."""
    try:
        found = _MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=platform.python_version(),
        processor=found[1].strip() if found else "",
    )
