"""Node daemons of machines, which run Ganeti unmodified: for some faults one is started again, with a hook."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster import inside
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.faults.fault import Recipe
from pytest_ganeti_vcluster.errors import LuxiError, UserError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.readiness import wait_ready
from pytest_ganeti_vcluster.inside.rpc_faults import FOLDER

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Where it is on the node.
_BASE = str(Path(FOLDER).parent / "python")

_DEFAULTS = "/etc/default/ganeti"
_EXPORT = f"export PYTHONUSERBASE={_BASE}\n"

#: Versions of Python that may run noded.
_PYTHON_MINORS = range(9, 30)

_USERCUSTOMIZE = f"""\
import os
with open("/proc/self/cmdline", "rb") as stream:
    words = stream.read().split(b"\\0")
if os.path.basename(words[1]) == b"ganeti-noded":
    import sys
    sys.path.append("{_BASE}/site")
    from vcluster_inside.on_machine import enter_noded
    enter_noded()
"""

#: Seconds in which noded has to be back.
_STARTING = 60.0


def hook_noded(node: VirtualNode) -> None:
    """Have a node's noded look for faults at each RPC, from now on until all faults are healed or it is unhooked.

    Adapted ones do anyhow; a machine's is started again, with a hook. Raises `UserError` where jobs run, for they might
    well fail by that.
    """
    cluster = node.cluster
    if not cluster.parts.site.has_machines or is_hooked(node):
        return
    busy = _running_jobs(cluster)
    if busy:
        raise UserError(
            f"noded of {node.name} has to be started again for this, and jobs run: {', '.join(map(str, busy))}",
            cure="do it before they are submitted; `VirtualCluster.during` submits a job by itself",
        )

    def do() -> None:
        _write_hook(node)
        _restart(node)

    cluster.fault_registry.begin(
        f"noded of {node.name} runs with a hook",
        do,
        lambda: unhook_noded(node),
        reset_undoes=True,
        recipe=Recipe("hook", {"node": node.name}),
    )


def unhook_noded(node: VirtualNode) -> None:
    """Undo `hook_noded`: noded is started again without."""
    _remove_hook(node)
    _restart(node)


def _running_jobs(cluster: VirtualCluster) -> list[int]:
    try:
        rows = cluster.luxi.query("job", ["id", "status"]).rows
    except LuxiError:
        # Without luxid nobody starts a job.
        return []
    return [int(row["id"]) for row in rows if row["status"] not in FINAL]


def is_hooked(node: VirtualNode) -> bool:
    """Whether the node's noded is started with a hook."""
    return _EXPORT in node.path(_DEFAULTS).read_text(encoding="utf-8")


def _write_hook(node: VirtualNode) -> None:
    base = node.path(_BASE)
    shutil.copytree(next(iter(inside.__path__)), base / "site" / "vcluster_inside", dirs_exist_ok=True)
    for minor in _PYTHON_MINORS:
        folder = base / "lib" / f"python3.{minor}" / "site-packages"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "usercustomize.py").write_text(_USERCUSTOMIZE, encoding="utf-8")
    # So it is there whoever starts noded, as long as that is done by daemon-util.
    with node.path(_DEFAULTS).open("a", encoding="utf-8") as stream:
        stream.write(_EXPORT)


def _remove_hook(node: VirtualNode) -> None:
    defaults = node.path(_DEFAULTS)
    if defaults.exists():
        text = defaults.read_text(encoding="utf-8")
        defaults.write_text(text.replace(_EXPORT, ""), encoding="utf-8")
    base = node.path(_BASE)
    if base.exists():
        shutil.rmtree(base)
        with contextlib.suppress(OSError):
            # Other faults may be there.
            base.parent.rmdir()


def _restart(node: VirtualNode) -> None:
    if not node.daemon("noded").running:
        # Whoever starts it finds what is to be found.
        return
    program = str(node.cluster.parts.farm.daemon_util)
    node.run(program, "stop", "ganeti-noded", timeout=_STARTING)
    node.run(program, "start", "ganeti-noded", timeout=_STARTING)
    wait_ready(DAEMONS["noded"], node.name, node.boot_node.address, deadline=time.monotonic() + _STARTING)
