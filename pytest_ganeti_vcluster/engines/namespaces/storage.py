"""A node's file storage as large as the node is said to be: `python -m ...storage PID PLACE CAPACITY`.

Run by the site in the cluster's user namespace, it goes to the node whose first process is PID (outside), covers the
folder PLACE there with a file system that has what the folder has (`fuse`), and prints the process id (outside) of who
serves that until the node goes down, or the folder is unmounted. CAPACITY is the node's file of `engines.hardware`. The
files stay where they were, for all who come from outside, and after the node has gone down.

Total is what CAPACITY says, or what the file system below has, at each question; free is what the files leave, at their
full sizes, though they are sparse. Imports the standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import NoReturn

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.fuse import PassingOn

#: What it is asked for and served by.
DEVICE = "/dev/fuse"

#: By this name /proc/PID/mountinfo knows it.
SOURCE = "vcluster-storage"

_MIB = 1 << 20


def main(pid: int, place: str, capacity: str) -> None:
    """See the module. Raises `OSError`, and exits with status 1 where the node does not take it."""
    # Whatever the node sees of the machine, this is here already.
    namespaces = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("pid", "mnt")]
    for namespace in namespaces:
        kernel.enter(f"/proc/self/fd/{namespace}")
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _serve(place, capacity, tell)
    os.close(tell)
    if not os.read(told, 1):
        sys.exit(1)
    sys.stdout.write(f"{child}\n")


def _serve(place: str, capacity: str, tell: int) -> NoReturn:
    """Cover the folder, say so by a byte, and serve it; never returns."""
    try:
        os.setsid()
        os.umask(0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        mode = os.fstat(folder).st_mode
        device = os.open(DEVICE, os.O_RDWR)
        told = f"fd={device},rootmode={mode:o},user_id=0,group_id=0,default_permissions,allow_other"
        kernel.mount(SOURCE, place, "fuse", told)
        kernel.name_process(SOURCE)
        os.chdir("/")
        os.write(tell, b"m")
        os.close(tell)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        PassingOn(device, folder, lambda: _space(folder, capacity)).serve()
        os._exit(0)
    except BaseException:  # noqa: BLE001  whatever it is, a fork must not go on as its parent
        traceback.print_exc()
    os._exit(1)


def _space(folder: int, capacity: str) -> tuple[int, int]:
    """Return total and free bytes; as `inside.adaptations.node_report.storage_space`."""
    try:
        with open(capacity, encoding="utf-8") as stream:  # noqa: PTH123
            total = json.load(stream).get("disk")
    except FileNotFoundError:
        total = None
    if total is None:
        below = os.fstatvfs(folder)
        total = below.f_blocks * below.f_frsize // _MIB
    return total * _MIB, max(0, total - _taken(folder)) * _MIB


def _taken(top: int) -> int:
    """Return the MiB that the files below a folder are said to have."""
    total = 0
    for _path, _folders, names, folder in os.fwalk(dir_fd=top):
        for name in names:
            try:
                total += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total // _MIB


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
