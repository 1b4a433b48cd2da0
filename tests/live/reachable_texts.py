"""Run on a node: for each attribute of each module of Ganeti, a digest of all texts that it leads to.

With names of modules as arguments, print the texts of these instead.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import pkgutil
import re
import sys
import types
from typing import Any

import ganeti  # type: ignore[import-not-found]


def load() -> list[types.ModuleType]:
    loaded = []
    for module in pkgutil.walk_packages(ganeti.__path__, "ganeti."):
        try:
            loaded.append(importlib.import_module(module.name))
        except ImportError:
            continue
    return loaded


def normal(text: str) -> str:
    """Take out what differs between any two processes: addresses, and the order of what was in a set."""
    words = re.findall(r"[\w/.:@-]+", re.sub(r"0x[0-9a-f]+", "0x", text))
    return " ".join(sorted(word.rstrip(".") for word in words))


def texts(module: types.ModuleType, value: Any, namespaces: set[int]) -> set[str]:
    """Texts that `value` leads to without passing through another module."""
    found = set()
    seen = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or id(one) in namespaces or isinstance(one, types.ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, (str, bytes)):
            found.add(normal(repr(one)))
        elif isinstance(one, (int, float, types.CodeType, types.FrameType)):
            # What is in code was there before anything ran.
            continue
        elif isinstance(one, (type, types.FunctionType)) and one.__module__ != module.__name__:
            continue
        else:
            waiting += gc.get_referents(one)
    return found


def main() -> None:
    modules = load()
    namespaces = {id(vars(module)) for module in list(sys.modules.values())} | {id(sys.modules)}
    told: dict[str, Any] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if name in {"__builtins__", "__spec__", "__loader__", "__cached__"}:
                continue
            reached = sorted(texts(module, value, namespaces))
            if len(sys.argv) > 1:
                if module.__name__ in sys.argv[1:]:
                    told[f"{module.__name__}.{name}"] = reached
            else:
                digest = hashlib.sha256("\0".join(reached).encode(errors="replace")).hexdigest()[:16]
                told[f"{module.__name__}.{name}"] = [len(reached), digest]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
