"""What Ganeti tells scripts, and what it wants of them before it runs them."""

from __future__ import annotations

import os
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _hooks_data_dir(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module.HooksRunner.RunHooks

    def RunHooks(self: Any, hpath: str, phase: str, env: dict[str, str]) -> Any:
        return original(self, hpath, phase, {**env, "GANETI_DATA_DIR": module.pathutils.DATA_DIR})

    module.HooksRunner.RunHooks = RunHooks


def _restricted_command_owner(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module._CommonRestrictedCmdCheck

    def _CommonRestrictedCmdCheck(path: str, owner: tuple[int, int] | None) -> Any:
        return original(path, (os.getuid(), os.getgid()) if owner is None else owner)

    module._CommonRestrictedCmdCheck = _CommonRestrictedCmdCheck


ADAPTATIONS = (
    Adaptation(
        name="hooks-data-dir",
        module="ganeti.backend",
        targets=("HooksRunner.RunHooks", "pathutils.DATA_DIR"),
        what="GANETI_DATA_DIR is the node's own for the hooks that run on it.",
        why="The master tells all nodes its own, which is the same everywhere on real nodes; the path of a virtual"
        " node has its root folder in it.",
        apply=_hooks_data_dir,
    ),
    Adaptation(
        name="restricted-command-owner",
        module="ganeti.backend",
        targets=("_CommonRestrictedCmdCheck",),
        what="Restricted commands, and their folder, have to be owned by the user who runs the cluster.",
        why="Ganeti wants them to be root's; no file of a virtual node is.",
        apply=_restricted_command_owner,
    ),
)
