"""Exports of instances (`gnt-backup`), and their moves to other clusters.

A job names the folder of an export by its path on the master, node root included, and another node's noded takes it
as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _own_path(path: str, exports: str, place: Place) -> str:
    """Map a path below any node's root, or in the folder of exports of a real node, to this node's."""
    real_exports = "/" + os.path.relpath(exports, place.node_root)
    if (path + "/").startswith(real_exports + "/"):
        return place.below_node_root(path)
    return place.own_path(path)


def _export_folders(module: Any, place: Place) -> None:
    io_command = module._GetImportExportIoCommand
    export_info = module.ExportInfo

    def _GetImportExportIoCommand(instance: Any, mode: str, ieio: str, ieargs: Sequence[Any]) -> Any:
        if ieio == module.constants.IEIO_FILE:
            ieargs = [_own_path(path, module.pathutils.EXPORT_DIR, place) for path in ieargs]
        return io_command(instance, mode, ieio, ieargs)

    def ExportInfo(dest: str) -> Any:
        return export_info(_own_path(dest, module.pathutils.EXPORT_DIR, place))

    module._GetImportExportIoCommand = _GetImportExportIoCommand
    module.ExportInfo = ExportInfo


def _transfer_certificates(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module.utils.GenerateSelfSignedX509Cert
    constants = module.constants

    def GenerateSelfSignedX509Cert(common_name: str, *args: Any, **kwargs: Any) -> Any:
        # Who sends expects this name of whoever receives (lib/impexpd/__init__.py), since 3.1 the receiver's own.
        if (constants.VERSION_MAJOR, constants.VERSION_MINOR) < (3, 1):
            common_name = constants.X509_CERT_CN
        return original(common_name, *args, **kwargs)

    module.utils.GenerateSelfSignedX509Cert = GenerateSelfSignedX509Cert


ADAPTATIONS = (
    Adaptation(
        name="export-folders",
        module="ganeti.backend",
        targets=(
            "_GetImportExportIoCommand",
            "ExportInfo",
            "constants.IEIO_FILE",
            "pathutils.EXPORT_DIR",
        ),
        what="Exports are below the node's own root, whichever node's path a job names.",
        why="A job names the folder of an export by its path on the master; on a real cluster that is the same on each"
        " node.",
        apply=_export_folders,
    ),
    Adaptation(
        name="transfer-certificates",
        module="ganeti.backend",
        targets=(
            "CreateX509Certificate",
            "utils.GenerateSelfSignedX509Cert",
            "constants.X509_CERT_CN",
            "constants.VERSION_MAJOR",
            "constants.VERSION_MINOR",
        ),
        what="In Ganeti 3.0, certificates for moves between clusters have the name that Ganeti 3.0 expects of them.",
        why="They have another, which socat has refused since 1.7.3: Ganeti's issue 1681, mended in 3.1. No instance"
        " could be moved to another cluster.",
        apply=_transfer_certificates,
    ),
)
