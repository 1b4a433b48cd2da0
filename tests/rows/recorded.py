"""Scripts that write down how they were called, and what they wrote."""

from __future__ import annotations

from pathlib import Path

from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Where a script writes below its node's root: what it sees of its environment, one file for each call.
_FOLDER = "/root/calls"

_SCRIPT = """\
#!/bin/bash
mkdir -p "$GANETI_ROOTDIR{folder}"
call="$GANETI_ROOTDIR{folder}/{name}.$(date +%s.%N)"
env -0 > "$call"
printf 'CWD=%s\\0ARGUMENTS=%s\\0HOST=%s\\0' "$PWD" "$*" "$(hostname)" >> "$call"
{then}
"""


def recording(name: str, then: str = "exit 0") -> str:
    """Give a script that writes down its environment, folder and arguments under a name, and does `then`."""
    return _SCRIPT.format(folder=_FOLDER, name=name, then=then)


def calls(node: VirtualNode, name: str) -> list[dict[str, str]]:
    """Give the environments in which such a script was called on a node, in order; CWD, ARGUMENTS, HOST added."""
    return [_environment(path) for path in sorted(node.path(_FOLDER).glob(f"{name}.*"))]


def _environment(path: Path) -> dict[str, str]:
    texts = path.read_text(encoding="utf-8").split("\0")
    return dict(text.split("=", 1) for text in texts if "=" in text)
