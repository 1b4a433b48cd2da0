"""What the report needs beyond the rest: the extra `scale`, asked for when it is needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from pytest_ganeti_vcluster.errors import ExtraMissing

#: What is typed to have it.
EXTRA = "pytest-ganeti-vcluster[scale]"


def needed(module: str, purpose: str) -> ModuleType:
    """Import a module of a package of the extra. Raises `ExtraMissing`, which says what to type."""
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise ExtraMissing(
            f"{purpose} needs {module.partition('.')[0]}, which is not installed",
            seen=str(err),
            cure=f"pip install '{EXTRA}'",
        ) from err
