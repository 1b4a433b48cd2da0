"""What can be told to fail before anything is started: by the boot, and by `ganeti-vcluster doctor`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pytest_ganeti_vcluster.errors import DiskFull, MachineError, PathTooLong

#: A Unix socket's path, without the byte that ends it (unix(7), `sun_path`).
MAX_SOCKET_PATH = 107
#: The longest path of a socket in a node root (lib/pathutils.py, `WCONFD_SOCKET`).
LONGEST_SOCKET = "/var/run/ganeti/socket/ganeti-wconfd"
#: A cluster's folder below the root folder: 8 hex digits.
_CLUSTER_FOLDER = 8

#: Bytes that a cluster takes at first, and each of its nodes, with logs; instances' disks come on top.
_CLUSTER_BYTES = 16_000_000
_NODE_BYTES = 4_000_000
_NODE_FILES = 400

_OTHER_ROOT = "choose another root folder (--vcluster-root, VCLUSTER_ROOT)"


def check_boot(root: Path, *, node_name_length: int, nodes: int) -> None:
    """Raise what would go wrong with a cluster of so many nodes below `root`; make and change nothing.

    `node_name_length` is that of the longest full node name, in bytes. Raises `PathTooLong`, `DiskFull`, or
    `MachineError` where the folder cannot be used.
    """
    check_path_length(root, node_name_length)
    check_folder(root)
    check_room(root, nodes)


def check_path_length(root: Path, node_name_length: int) -> None:
    """Raise `PathTooLong` where the sockets of a node below `root` could not be bound."""
    fixed = _CLUSTER_FOLDER + node_name_length + len(LONGEST_SOCKET) + 2
    length = len(os.fsencode(root)) + fixed
    if length > MAX_SOCKET_PATH:
        raise PathTooLong(
            f"the root folder {root} is too deep: Unix sockets in it would have paths of {length} bytes,"
            f" and the kernel takes {MAX_SOCKET_PATH}",
            seen=f"{root}/xxxxxxxx/{'n' * node_name_length}{LONGEST_SOCKET}",
            cure=f"choose a root folder of at most {max(0, MAX_SOCKET_PATH - fixed)} bytes (--vcluster-root,"
            " VCLUSTER_ROOT), or shorter node names",
        )


def check_folder(root: Path) -> None:
    """Raise `MachineError` where `root` is, or would be made, in a place where clusters cannot run."""
    folder = existing_folder(root)
    if not folder.is_dir():
        raise MachineError(f"{folder} is no folder, and clusters are to run in {root}", cure=_OTHER_ROOT)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError(f"{folder} cannot be written, and clusters are to run in {root}", cure=_OTHER_ROOT)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise MachineError(
            f"{folder} is on a filesystem that allows no programs (noexec); Ganeti runs scripts in {root}",
            cure=_OTHER_ROOT,
        )
    if folder == root and not _is_safe(root.stat()):
        seen = root.stat()
        raise MachineError(
            f"{root} is in others' hands, and clusters' keys would be, too",
            seen=f"owner {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):04o}; we are user {os.getuid()}",
            cure=f"remove it or make it yours alone (chmod go-w), or {_OTHER_ROOT}",
        )


def _is_safe(seen: os.stat_result) -> bool:
    """Tell whether nobody else can replace what we make in a folder: it is ours alone, or sticky as /tmp."""
    if seen.st_mode & stat.S_ISVTX:
        return seen.st_uid in {0, os.getuid()}
    return seen.st_uid == os.getuid() and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def check_room(root: Path, nodes: int) -> None:
    """Raise `DiskFull` where there is too little room for so many nodes, in bytes or in files."""
    folder = existing_folder(root)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    needed = _CLUSTER_BYTES + nodes * _NODE_BYTES
    if free < needed:
        raise DiskFull(
            f"{folder} has {free / 1e6:.0f} MB left; a cluster of {nodes} nodes needs {needed / 1e6:.0f} MB",
            cure=f"make room there, or {_OTHER_ROOT}",
        )
    # Filesystems without a fixed number of files (btrfs) tell 0 of 0.
    if room.f_files and room.f_favail < nodes * _NODE_FILES:
        raise DiskFull(
            f"{folder} has room for {room.f_favail} files left; a cluster of {nodes} nodes needs"
            f" {nodes * _NODE_FILES}",
            cure=f"remove files there, or {_OTHER_ROOT}",
        )


def existing_folder(path: Path) -> Path:
    """Give `path`, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
