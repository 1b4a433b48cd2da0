"""Whether a Ganeti can be adapted to virtual nodes: tried in a folder of its own, without a cluster."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_ganeti_vcluster.errors import AdaptationFailed
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation

_NODE = "node1.check"
_TIMEOUT = 120.0


def check_adaptations(installation: GanetiInstallation) -> int:
    """Adapt every module of Ganeti that a virtual node needs adapted, and return how many adaptations fitted: all.

    Takes a second, and starts one process. Raises `AdaptationFailed`, which names what did not fit.
    """
    with tempfile.TemporaryDirectory(prefix="gvc-check-") as name:
        farm = build_farm(installation, Path(name, "farm"), [], tls_fix=False, fork_server=False)
        node_root = Path(name, _NODE)
        node_root.mkdir()
        # The list of nodes that an engine keeps (inside/place.py).
        nodes = Path(name, "engine/nodes")
        nodes.parent.mkdir()
        nodes.write_text(f"127.0.0.1 {_NODE}\n", encoding="utf-8")
        told = _run(farm.check, {**farm.environment(), "GANETI_ROOTDIR": str(node_root)}, installation)
    return read_verdict(told, installation)


def read_verdict(told: str, installation: GanetiInstallation) -> int:
    """Read what `inside.check` printed: return how many adaptations fitted. Raises `AdaptationFailed`."""
    verdict = json.loads(told)
    failed: Mapping[str, str] = verdict["failed"]
    if failed:
        # A module that cannot be imported takes those with it that import it.
        first = {problem: module for module, problem in reversed(list(failed.items()))}
        raise AdaptationFailed(
            f"{installation} cannot be adapted to virtual nodes",
            seen="\n".join(f"{module}: {problem}" for problem, module in first.items()),
            cure="use a supported Ganeti (`--vcluster-ganeti=3.0`), or report this one's version",
        )
    return len(verdict["adapted"])


def _run(program: Path, environment: Mapping[str, str], installation: GanetiInstallation) -> str:
    try:
        done = subprocess.run(
            [str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
            # Nothing of the caller's: it would not be there on a node either.
            env={"LANG": "C.UTF-8", "HOME": str(program.parent), "GANETI_HOSTNAME": _NODE, **environment},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AdaptationFailed(f"{installation} could not be tried out: {error}") from error
    if done.returncode:
        raise AdaptationFailed(
            f"{installation} could not be tried out", seen=done.stderr.strip() or f"status {done.returncode}"
        )
    return done.stdout
