"""What nodes show of their hardware: memory, CPUs, bridges, the size of file storage, as their roots declare it.

Ganeti looks at the kernel's files for memory and CPUs (lib/hypervisor/hv_base.py, GetLinuxNodeInfo): in a node's mount
namespace files of its own cover those. What a node shows lies beside the engine's own files and not in the node's root,
as those that cover are written to in place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import attrs

from pytest_ganeti_vcluster.engines.base import SHARED_PLACE, SHARED_STORAGE, NodeSite
from pytest_ganeti_vcluster.engines.hardware import CAPACITY, read_bridges, read_capacity
from pytest_ganeti_vcluster.engines.namespaces.machine import SYSRQ
from pytest_ganeti_vcluster.engines.namespaces.storage import DEVICE
from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import replace_text

#: Where nodes have file storage (lib/pathutils.py, DEFAULT_FILE_STORAGE_DIR).
_STORAGE = "/srv/ganeti/file-storage"

_MEMORY, _CPUS = Path("/proc/meminfo"), Path("/proc/cpuinfo")


@attrs.frozen
class ShownHardware:
    """What the nodes of one cluster show; `folder` is the engine's.

    `run_in` runs a command, with an input, in the namespaces of a node's first process, and `show_storage` runs module
    `storage` with what follows the process's id (outside), which both are given; that returns who serves it.
    """

    folder: Path
    run_in: Callable[[int, Sequence[str], str], object]
    show_storage: Callable[[int, Sequence[str]], int]

    def covers(self, node: NodeSite) -> list[list[str]]:
        """Write what a node that boots shows; return the files, and what they cover there.

        Among them are a pipe, for what the kernel is asked to do with the node, and what all nodes share.
        """
        capacity, files = read_capacity(node.root), self._files(node)
        _write_in_place(files[_MEMORY], shown_memory(_MEMORY.read_text(), capacity.get("memory")))
        _write_in_place(files[_CPUS], shown_cpus(_CPUS.read_text(), capacity.get("cpus")))
        keys = self.folder / f"node{node.index}-keys"
        if Path(SYSRQ).exists():
            if not keys.exists():
                os.mkfifo(keys, 0o600)
            files[Path(SYSRQ)] = keys
        files[Path(SHARED_PLACE)] = self.folder.parent / SHARED_STORAGE
        return [[str(file), str(place)] for place, file in files.items()]

    def fit_booted(self, node: NodeSite, first: int) -> None:
        """Go on with a node that has just booted, with the bridges of `read_bridges`."""
        self._note(node, capacity=read_capacity(node.root), bridges=read_bridges(node.root), storage=None)
        self.fit(node, first)

    def fit(self, node: NodeSite, first: int) -> None:
        """Have a node that is up show what its root declares; nothing is done where it does. Raises `BootFailed`."""
        known = self._known(node)
        capacity, bridges = read_capacity(node.root), read_bridges(node.root)
        if capacity != known["capacity"]:
            self.covers(node)
        if bridges != known["bridges"]:
            commands = [
                *(f"link delete {name} type bridge" for name in known["bridges"] if name not in bridges),
                *(f"link add {name} type bridge" for name in bridges if name not in known["bridges"]),
                *(f"link set {name} up" for name in bridges),
            ]
            self.run_in(first, ["ip", "-batch", "-"], "".join(f"{one}\n" for one in commands))
        serving = known["storage"]
        if serving is not None and not ProcessIdentity.from_json(serving).is_alive():
            # What nobody serves fails for whoever looks at it.
            self.run_in(first, ["umount", "--lazy", _STORAGE], "")
            serving = None
        if serving is None and "disk" in capacity:
            check_storage()
            process = ProcessIdentity.of(self.show_storage(first, [_STORAGE, f"/{CAPACITY}"]))
            serving = None if process is None else process.to_json()
        self._note(node, capacity=capacity, bridges=bridges, storage=serving)

    def processes(self, node: NodeSite) -> frozenset[ProcessIdentity]:
        """Name the processes that a node which is up stands on for it."""
        serving = self._known(node)["storage"]
        found = [] if serving is None else [ProcessIdentity.from_json(serving)]
        return frozenset(one for one in found if one.is_alive())

    def _files(self, node: NodeSite) -> dict[Path, Path]:
        return {place: self.folder / f"node{node.index}-{place.name}" for place in (_MEMORY, _CPUS)}

    def _known(self, node: NodeSite) -> Mapping[str, Any]:
        known: Mapping[str, Any] = json.loads(self._record(node).read_text(encoding="utf-8"))
        return known

    def _note(self, node: NodeSite, **known: object) -> None:
        text = json.dumps(known)
        record = self._record(node)
        if not record.exists() or record.read_text(encoding="utf-8") != text:
            replace_text(record, text)

    def _record(self, node: NodeSite) -> Path:
        return self.folder / f"node{node.index}-hardware.json"


def check_storage() -> None:
    """Raise `EngineUnavailable` where no node can be given a size of file storage."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise EngineUnavailable(
            f"engine 'namespaces' cannot give a node's file storage a size: {DEVICE} cannot be opened",
            cure=f'load the module fuse, give the container {DEVICE} (docker --device), or use engine "loopback"',
        )


def shown_memory(text: str, mebibytes: int | None) -> str:
    """Return the machine's /proc/meminfo as a node shows it, which has so much memory (None: the machine's).

    All of it is free: what the machine has left has nothing to do with the node, and Ganeti takes off what instances
    use (hv_fake.py, GetNodeInfo). It adds up three of the figures (hv_base.py).
    """
    figures = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE))
    total = str(mebibytes << 10) if mebibytes is not None else figures["MemTotal"]
    shown = {
        "MemTotal": total,
        "MemFree": total,
        "MemAvailable": total,
        "Buffers": "0",
        "Cached": "0",
        "Active": "0",
    }
    return re.sub(
        r"^(\w+):(\s+)(\d+) kB$",
        lambda found: f"{found[1]}:{found[2]}{shown.get(found[1], found[3])} kB",
        text,
        flags=re.MULTILINE,
    )


def shown_cpus(text: str, count: int | None) -> str:
    """Return the machine's /proc/cpuinfo as a node shows it, which has so many CPUs (None: the machine's)."""
    if count is None:
        return text
    blocks = [block for block in text.split("\n\n") if re.search(r"(?m)^processor\s*:", block)]
    model = blocks[0].strip("\n") if blocks else "processor\t: 0"
    numbered = (re.sub(r"(?m)^(processor\s*: ).*$", rf"\g<1>{number}", model) for number in range(count))
    return "".join(f"{block}\n\n" for block in numbered)


def _write_in_place(path: Path, text: str) -> None:
    """Write to a file that is looked at elsewhere, by its inode."""
    data = text.encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.pread(descriptor, len(data) + 1, 0) != data:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
