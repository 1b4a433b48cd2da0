"""Loaded modules are moved to another node, whatever holds the texts that tell which node it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def _run(*arguments: str) -> Any:
    # In a process of its own: it is searched through as a whole.
    program = Path(__file__).with_name("relocated.py")
    result = subprocess.run(
        [sys.executable, str(program), *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout)


def test_every_holder_is_found_and_changed() -> None:
    path = "/clusters/node1.vc/etc"
    assert _run("node1.vc") == {
        "instance": path,
        "nested": [[path]],
        "class": [path, path, path],
        "defaults": [path, path, path],
        "slot": path,
        "named tuple": ["Pair", path],
        "keys": sorted([path, "other", f"('{path}', 2)"]),
        "order of keys": 1,
        "values": path,
        "members": [path, "other"],
        "binary": path,
        "pattern": [f"^{path}$", 2],
        "partial": f"{path} {path}",
        "closure": path,
        "queue": path,
        "identity": True,
        "object": True,
    }


def test_what_cannot_be_changed_is_an_error() -> None:
    assert _run("impossible") == (
        "a itertools.repeat holds a text of the node: repeat(('/clusters/TOKEN/etc',))"
    )
