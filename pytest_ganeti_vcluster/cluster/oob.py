"""The out-of-band helper: Ganeti's master calls it to switch virtual nodes off and on (doc/design-oob.rst).

It runs in our own Python and on no node, so that it can switch off the very node that called it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_ganeti_vcluster.cluster.power import NodePower
from pytest_ganeti_vcluster.engines.base import OFF
from pytest_ganeti_vcluster.engines.loopback.node_processes import OUTSIDE
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE

_SCRIPT = """\
#!/bin/sh
# Ganeti's oob_program for virtual nodes: {name} COMMAND NODE
if [ "$#" = 2 ] && [ "$1" = power-status ] && [ -d {root}/"$2"/etc/ganeti ]; then
  # It is asked for all nodes at once.
  if [ -e {root}/"$2"/{off} ]; then echo '{{"powered": false}}'; else echo '{{"powered": true}}'; fi
  exit 0
fi
cd {package} || exit 1
exec env -i {variables} {token}="${{{token}:-}}" {outside}=1 {python} -s -m {module} {root} "$@"
"""

#: Variables that our Python may need to find all it needs.
_KEPT = ("PATH", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")


def write_oob_program(path: Path, root: Path) -> None:
    """Write the helper for the cluster in `root`."""
    import pytest_ganeti_vcluster

    text = _SCRIPT.format(
        name=path.name,
        off=OFF,
        package=shlex.quote(str(Path(pytest_ganeti_vcluster.__file__).parent.parent)),
        variables=" ".join(f"{key}={shlex.quote(os.environ[key])}" for key in _KEPT if key in os.environ),
        token=TOKEN_VARIABLE,
        outside=OUTSIDE,
        python=shlex.quote(sys.executable),
        module=__name__,
        root=shlex.quote(str(root)),
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _status(power: NodePower) -> object:
    """Tell whether the node is on; the script does it for a full name."""
    return {"powered": power.is_on}


def _health(power: NodePower) -> object:
    """Tell what can be told from outside: a machine that is on and on which nothing runs has crashed."""
    if not power.is_on:
        return [["power", "WARNING"], ["system", "UNKNOWN"]]
    return [["power", "OK"], ["system", "OK" if power.runs() else "CRITICAL"]]


_COMMANDS: dict[str, Callable[[NodePower], object]] = {
    "power-on": NodePower.on,
    "power-off": NodePower.off,
    "power-cycle": NodePower.cycle,
    "power-status": _status,
    "health": _health,
}


def main(argv: Sequence[str]) -> int:
    """Carry out `ROOT COMMAND NODE`; print what Ganeti wants to be told, as JSON, and return the exit status."""
    # Attaching takes a while to import, and a wrong request does not need it.
    from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster

    try:
        root, command, name = argv
        action = _COMMANDS[command]
    except (KeyError, ValueError):
        print(f"usage: oob {'|'.join(_COMMANDS)} NODE", file=sys.stderr)  # noqa: T201
        return 1
    try:
        with attach_cluster(Path(root)) as cluster:
            told = action(cluster.node(name).power)
    except (VClusterError, KeyError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if told is not None:
        print(json.dumps(told))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
