"""What stands in the root folder of a node that is a machine of its own, before Ganeti's programs come."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping

from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.engines.hardware import write_bridges, write_capacity
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.node_root import (
    BRIDGES,
    DD_OS,
    FILE_STORAGE_PATHS,
    OS_SCRIPTS,
    RUNNING_INSTANCES,
)
from pytest_ganeti_vcluster.ganeti.unmodified import RAPI_ARGUMENTS, version_links

_FOLDERS = (
    "etc/ganeti/hooks",
    "etc/ganeti/scripts",
    "etc/ganeti/restricted-commands",
    # Where Debian's Ganeti exports to, and one that was built as its INSTALL says.
    "var/lib/ganeti/export",
    "srv/ganeti/export",
    "var/lib/ganeti/rapi",
    "var/log/ganeti",
    "srv/ganeti/os",
    "srv/ganeti/extstorage",
    "srv/ganeti/iallocators",
    "srv/ganeti/file-storage",
)

# Debian's package has the same file with empty values.
_DEFAULTS = f"RAPI_ARGS='{shlex.join(RAPI_ARGUMENTS)}'\n"


def furnish_machine(node: NodeSite, capacity: Mapping[str, int], installation: GanetiInstallation) -> None:
    """Put into a node's root folder what an admin has there before a cluster is made, and what packages have put.

    `capacity` as in `write_capacity`; `installation` is what the node is to run.
    """
    root = node.root
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True)
    for name, target in version_links(installation).items():
        (root / "etc/ganeti" / name).symlink_to(target)
    (root / "etc/default/ganeti").write_text(_DEFAULTS, encoding="utf-8")
    (root / "etc/ganeti/file-storage-paths").write_text(FILE_STORAGE_PATHS, encoding="utf-8")
    write_bridges(root, BRIDGES)
    write_capacity(root, capacity)
    shutil.copytree(DD_OS, root / "srv/ganeti/os/dd")
    for script in OS_SCRIPTS:
        (root / "srv/ganeti/os/dd" / script).chmod(0o755)
    state = root / RUNNING_INSTANCES
    state.mkdir(parents=True)
    state.chmod(0o775)
