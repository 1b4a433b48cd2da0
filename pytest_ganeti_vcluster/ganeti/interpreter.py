"""Which Python can run Ganeti's Python: asked of the interpreter itself, in one short process."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

#: What Ganeti imports at start that is no part of it. `simplejson` until 3.0; asyncore and asynchat belong to
#: Python before 3.12.
MODULES = ("pycurl", "OpenSSL", "pyparsing", "bitarray", "pyinotify", "asyncore")
MODULES_BEFORE_3_1 = ("simplejson", "asynchat")

#: Releases from which on a module no longer works with Ganeti: pyOpenSSL 26 dropped what `gnt-cluster init`
#: calls, pyparsing 3.3 silently builds wrong query filters.
TOO_NEW = {"pyOpenSSL": (26,), "pyparsing": (3, 3)}

_TIMEOUT = 20.0

# Finding is not importing: importing OpenSSL alone takes longer than all of this. Versions are read from the
# names of the metadata folders, importlib.metadata being slow to import, too.
_PROBE = """
import json, os, sys
from importlib.util import find_spec
modules, names = json.loads(sys.argv[1])
versions = {}
for folder in sys.path:
    try:
        entries = os.listdir(folder or ".")
    except OSError:
        continue
    for entry in entries:
        stem, dot, suffix = entry.rpartition(".")
        name, dash, version = stem.partition("-")
        if suffix in ("dist-info", "egg-info") and name.lower() in names:
            versions.setdefault(name.lower(), version)
print(json.dumps([sys.version_info[:2], [m for m in modules if find_spec(m) is None], versions]))
"""


def needed_modules(version: str) -> tuple[str, ...]:
    """Name the modules that this version of Ganeti imports from outside."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return MODULES if (major, minor) >= (3, 1) else MODULES + MODULES_BEFORE_3_1


def unfit_because(python: Path, version: str) -> str:
    """Say why `python` cannot run Ganeti `version`; empty where it can. Starts one process of about 20 ms."""
    if not python.is_file():
        return f"{python} is missing" + (f" (a link to {python.resolve()})" if python.is_symlink() else "")
    question = json.dumps([needed_modules(version), [name.lower() for name in TOO_NEW]])
    try:
        # No user site: what a user once installed there must not decide what a cluster runs with.
        done = subprocess.run(
            [str(python), "-E", "-s", "-c", _PROBE, question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"{python} does not run: {err}"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return f"{python} fails: {lines[-1] if lines else f'exit status {done.returncode}'}"
    return _verdict(python, *json.loads(done.stdout))


def _verdict(python: Path, running: list[int], missing: list[str], versions: dict[str, Any]) -> str:
    if missing:
        name = f"Python {running[0]}.{running[1]}"
        return f"{python} ({name}) lacks the modules {', '.join(missing)}"
    for name, limit in TOO_NEW.items():
        seen = str(versions.get(name.lower(), "0"))
        if tuple(int(part) for part in re.findall(r"\d+", seen)) >= limit:
            return (
                f"{python} has {name} {seen}, too new for Ganeti: needs less than {'.'.join(map(str, limit))}"
            )
    return ""
