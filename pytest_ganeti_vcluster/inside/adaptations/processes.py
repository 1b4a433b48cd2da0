"""Descriptors and environment of processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from ..adapting import Adaptation
from ..place import Place

_NODE_VARIABLES = (
    "GANETI_ROOTDIR",
    "GANETI_HOSTNAME",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "OPENSSL_CONF",
    "PYTHONUSERBASE",
    "HOME",
)
#: Input, output, errors.
_STANDARD = range(3)
_NODE_PREFIXES = ("NSS_WRAPPER_", "VCLUSTER_")


def _spare_descriptors(module: Any, place: Place) -> None:  # noqa: ARG001
    def CloseFDs(noclose_fds: Sequence[int] | None = None) -> None:
        names = {
            os.environ.get(name) for name in ("NSS_WRAPPER_PASSWD", "NSS_WRAPPER_GROUP", "NSS_WRAPPER_HOSTS")
        }
        spared = {*_STANDARD, *(noclose_fds or ())}
        # Ganeti's own tries each number up to the limit of open files: thousands of failures, a fifth of the CPU time
        # that the start of a daemon costs.
        for entry in os.listdir("/proc/self/fd"):
            descriptor = int(entry)
            with contextlib.suppress(OSError):
                # The descriptor of the listing itself has gone already, which this line tells.
                target = os.readlink(f"/proc/self/fd/{entry}")
                if descriptor not in spared and target not in names:
                    os.close(descriptor)

    module.CloseFDs = CloseFDs


def _command_environment(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module._BuildCmdEnvironment

    def _BuildCmdEnvironment(env: dict[str, str] | None, reset: bool) -> dict[str, str]:
        result: dict[str, str] = original(env, reset)
        if reset:
            for name, value in os.environ.items():
                if name in _NODE_VARIABLES or name.startswith(_NODE_PREFIXES):
                    result.setdefault(name, value)
        return result

    module._BuildCmdEnvironment = _BuildCmdEnvironment


ADAPTATIONS = (
    Adaptation(
        name="spare-descriptors",
        module="ganeti.utils.process",
        targets=("CloseFDs",),
        what="A daemon that closes all descriptors spares those of nss_wrapper, and tries none that is not open.",
        why="nss_wrapper keeps its files of names and users open and does not open them again; and to try thousands of"
        " numbers takes a fifth of a daemon's start.",
        apply=_spare_descriptors,
    ),
    Adaptation(
        name="command-environment",
        module="ganeti.utils.process",
        targets=("_BuildCmdEnvironment",),
        what="Hooks, restricted commands and OS scripts keep the few variables that say which node they run on.",
        why="Ganeti starts them with an empty environment; they would act on the machine instead of the node.",
        apply=_command_environment,
    ),
)
