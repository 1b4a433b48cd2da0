"""Apply every adaptation to this Ganeti, and tell what did not fit: a program, run once when a cluster boots."""

import importlib
import json
import os
import sys
import traceback

from . import adapting
from .adaptations import ADAPTATIONS
from .place import Place


def main() -> None:
    """Print a JSON object: `ganeti` (its version), `adapted` (names), `failed` (name or module, to what was said)."""
    sys.path.insert(0, os.environ["VCLUSTER_SHARE"])
    adapting.install(ADAPTATIONS, Place.current())
    failed = {}
    for module in sorted({adaptation.module for adaptation in ADAPTATIONS}):
        try:
            importlib.import_module(module)
        except adapting.AdaptationTargetMissing as error:
            failed[module] = str(error)
        except Exception:  # noqa: BLE001  whatever keeps a module of Ganeti from loading is told
            failed[module] = traceback.format_exc(limit=-3)
    version = ""
    if "ganeti._constants" in sys.modules:
        version = str(getattr(sys.modules["ganeti._constants"], "RELEASE_VERSION", ""))
    print(  # noqa: T201  this is a program; its output is read by who started it
        json.dumps({"ganeti": version, "adapted": [one.name for one in ADAPTATIONS], "failed": failed})
    )
