"""Files of a node that are damaged or lost."""

from __future__ import annotations

import base64
import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
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

    return node.cluster.fault_registry.begin(
        f"{inner} of {node.name} is damaged",
        lambda: kept.put(damaged),
        lambda: kept.mend(_digest(damaged)),
        reset_undoes=True,
        recipe=Recipe("file", {**kept.to_json(node, inner), "damaged": _digest(damaged)}),
    )


def lose_file(node: VirtualNode, inner: str) -> Fault:
    """See `FaultsOfNode.lose`."""
    kept = _Kept.of(node, inner)

    return node.cluster.fault_registry.begin(
        f"{inner} of {node.name} is lost",
        kept.path.unlink,
        kept.bring_back,
        reset_undoes=True,
        recipe=Recipe("file", {**kept.to_json(node, inner), "damaged": ""}),
    )


def mend_file(node: VirtualNode, details: Mapping[str, Any]) -> None:
    """Undo `corrupt_file` or `lose_file` by the details of its recipe."""
    kept = _Kept(node.path(str(details["inner"])), base64.b64decode(details["content"]), int(details["mode"]))
    if details["damaged"]:
        kept.mend(str(details["damaged"]))
    else:
        kept.bring_back()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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

    def to_json(self, node: VirtualNode, inner: str) -> dict[str, Any]:
        return {
            "node": node.name,
            "inner": inner,
            "content": base64.b64encode(self.content).decode("ascii"),
            "mode": self.mode,
        }

    def mend(self, damaged: str) -> None:
        """Put it back where it still is what has this digest: whoever has written it anew has mended it."""
        now = self.now()
        if now is not None and _digest(now) == damaged:
            self.put(self.content)

    def bring_back(self) -> None:
        """Put it back where there is none."""
        if self.now() is None and self.path.parent.is_dir():
            self.put(self.content)

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
