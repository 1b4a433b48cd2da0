"""What `gnt-cluster verify` expects of a machine."""

import os
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _node_setup(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module.VerifyNode

    def VerifyNode(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        key = module.constants.NV_NODESETUP
        if key in result and not os.path.exists("/proc/sysrq-trigger"):
            result[key] = [message for message in result[key] if "sysrq-trigger" not in message]
        return result

    module.VerifyNode = VerifyNode


ADAPTATIONS = (
    Adaptation(
        name="no-sysrq",
        module="ganeti.backend",
        targets=("VerifyNode", "constants.NV_NODESETUP"),
        what="`gnt-cluster verify` does not miss /proc/sysrq-trigger on kernels that have none.",
        why="Virtual nodes have the machine's kernel, and no test can reboot it; the file is of no use to them.",
        apply=_node_setup,
    ),
)
