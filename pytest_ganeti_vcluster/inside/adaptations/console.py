"""The console of the machine."""

import os
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _console(module: Any, place: Place) -> None:  # noqa: ARG001
    module.DEV_CONSOLE = os.devnull


ADAPTATIONS = (
    Adaptation(
        name="no-console",
        module="ganeti._constants",
        targets=("DEV_CONSOLE",),
        what="What noded would write to /dev/console goes to /dev/null.",
        why="Only root may write there, and noded ends at start when it cannot.",
        apply=_console,
    ),
)
