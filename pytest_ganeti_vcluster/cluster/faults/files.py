"""Files of a node that are damaged or lost."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.errors import UserError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def corrupt_file(node: VirtualNode, inner: str, content: bytes | str | None) -> Fault:
    """See `FaultsOfNode.corrupt`."""
    kept = _Kept.of(node, inner)
    if content is None:
        # As many bytes as before, none of which is what it was.
        damaged = bytes(byte ^ 0xFF for byte in kept.content)
    else:
        damaged = content.encode() if isinstance(content, str) else bytes(content)
    if damaged == kept.content:
        raise UserError(
            f"{inner} of {node.name} would be what it is" if damaged else f"{inner} of {node.name} is empty",
            cure="give another content",
        )

    def undo() -> None:
        # Whoever has written it anew has mended it.
        if kept.now() == damaged:
            kept.put(kept.content)

    return node.cluster.fault_registry.begin(
        f"{inner} of {node.name} is damaged", lambda: kept.put(damaged), undo, reset_undoes=True
    )


def lose_file(node: VirtualNode, inner: str) -> Fault:
    """See `FaultsOfNode.lose`."""
    kept = _Kept.of(node, inner)

    def undo() -> None:
        if kept.now() is None and kept.path.parent.is_dir():
            kept.put(kept.content)

    return node.cluster.fault_registry.begin(
        f"{inner} of {node.name} is lost", kept.path.unlink, undo, reset_undoes=True
    )


@attrs.frozen
class _Kept:
    """A file as it was."""

    path: Path
    content: bytes = attrs.field(repr=False)
    mode: int

    @classmethod
    def of(cls, node: VirtualNode, inner: Any) -> _Kept:
        if not isinstance(inner, str) or not inner.startswith("/"):
            raise UserError(
                f"{inner!r} is no path of a node",
                cure='give the path that the file has on the node, such as "/var/lib/ganeti/server.pem"',
            )
        path = node.path(inner)
        if not path.is_file():
            raise UserError(
                f"{node.name} has no file {inner}", seen=_beside(path), cure="name a file that is there"
            )
        return cls(path, path.read_bytes(), stat.S_IMODE(path.stat().st_mode))

    def now(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def put(self, content: bytes) -> None:
        """Put another file into its place, as Ganeti does: who has it open keeps the old one."""
        new = self.path.with_name(self.path.name + ".new")
        new.write_bytes(content)
        new.chmod(self.mode)
        new.replace(self.path)


def _beside(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    if not path.parent.is_dir():
        return "nor is there such a folder"
    names = sorted(one.name for one in path.parent.iterdir() if one.is_file())
    return f"the folder has {', '.join(names) or 'no files'}"
