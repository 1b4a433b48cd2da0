"""Each node's own file storage.

Ganeti stores the file storage folder once, for all nodes. A virtual cluster of upstream's design stores it with the
master's node root in it, so that all nodes write into the master's folder. Here the cluster stores it as a real one
would (/srv/ganeti/file-storage), and each node maps it below its own root at the last moment.
"""

from __future__ import annotations

import os
from typing import Any

from ..adapting import Adaptation
from ..place import STORAGE_PREFIX, Place
from .node_report import _reported


def _default_folders(module: Any, place: Place) -> None:  # noqa: ARG001
    module.DEFAULT_FILE_STORAGE_DIR = "/srv/ganeti/file-storage"
    module.DEFAULT_SHARED_FILE_STORAGE_DIR = "/srv/ganeti/shared-file-storage"


def _disk_files(module: Any, place: Place) -> None:
    Helper = module.FileDeviceHelper
    Storage = module.FileStorage
    create_file = Helper.CreateFile.__func__
    init_helper = Helper.__init__
    move = Helper.Move
    init_storage = Storage.__init__
    check_path = module.CheckFileStoragePath
    space_info = module.GetFileStorageSpaceInfo

    def CreateFile(
        cls: Any, path: str, size: int, create_folders: bool = False, _file_path_acceptance_fn: Any = None
    ) -> Any:
        # What is allowed is decided on the path that the cluster stores, as the node's list of paths is.
        (_file_path_acceptance_fn or module.CheckFileStoragePathAcceptance)(path)
        create_file(cls, place.localize(path), size, create_folders, lambda _path: None)
        return cls(path, _file_path_acceptance_fn=_file_path_acceptance_fn)

    def helper_init(self: Any, path: str, _file_path_acceptance_fn: Any = None) -> None:
        init_helper(self, path, _file_path_acceptance_fn=_file_path_acceptance_fn)
        self.path = place.localize(path)

    def Move(self: Any, new_path: str) -> None:
        self.file_path_acceptance_fn(new_path)
        accept, self.file_path_acceptance_fn = self.file_path_acceptance_fn, lambda _path: None
        try:
            move(self, place.localize(new_path))
        finally:
            self.file_path_acceptance_fn = accept

    def storage_init(self: Any, *args: Any, **kwargs: Any) -> None:
        init_storage(self, *args, **kwargs)
        self.dev_path = place.localize(self.dev_path)

    def CheckFileStoragePath(path: str, *args: Any, **kwargs: Any) -> str | None:
        problem: str | None = check_path(path, *args, **kwargs)
        local = place.localize(path)
        if problem and "not existing" in problem and os.path.isdir(local) and os.access(local, os.W_OK):
            return None
        return problem

    def GetFileStorageSpaceInfo(path: str) -> Any:
        info = space_info(place.localize(path))
        info["name"] = path
        space = _reported_space(place, path)
        if space is not None:
            info["storage_size"], info["storage_free"] = space
        return info

    Helper.CreateFile = classmethod(CreateFile)
    Helper.__init__ = helper_init
    Helper.Move = Move
    Storage.__init__ = storage_init
    module.CheckFileStoragePath = CheckFileStoragePath
    module.GetFileStorageSpaceInfo = GetFileStorageSpaceInfo


def _reported_space(place: Place, path: str) -> tuple[int, int] | None:
    """Total and free MiB at a path of the node's own storage, as its NodeSpec says; None: as the machine says."""
    local = place.localize(path)
    total = _reported(place).get("disk")
    if total is None or not (local + "/").startswith(place.below_node_root(STORAGE_PREFIX) + "/"):
        return None
    return total, max(0, total - _used_mebibytes(local))


def _used_mebibytes(folder: str) -> int:
    """Sum of the apparent sizes below a folder: disks are sparse files, and count in full as they would on LVM."""
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total // (1024 * 1024)


def _init_folder(module: Any, place: Place) -> None:
    original = module._InitFileStorageDir

    def _InitFileStorageDir(file_storage_dir: str) -> str:
        original(place.localize(os.path.normpath(file_storage_dir)))
        return os.path.normpath(file_storage_dir)

    module._InitFileStorageDir = _InitFileStorageDir
    # The default was bound when the function was defined (lib/bootstrap.py).
    for function in (
        module._PrepareFileBasedStorage,
        module._PrepareFileStorage,
        module._PrepareSharedFileStorage,
    ):
        function.__defaults__ = tuple(
            _InitFileStorageDir if value is original else value for value in function.__defaults__
        )


def _instance_folders(module: Any, place: Place) -> None:
    original = module._TransformFileStorageDir

    def _TransformFileStorageDir(fs_dir: str) -> str:
        return place.localize(original(fs_dir))

    module._TransformFileStorageDir = _TransformFileStorageDir


def _sizes(module: Any, place: Place) -> None:
    directory_size = module.CalculateDirectorySize
    filesystem_stats = module.GetFilesystemStats

    def CalculateDirectorySize(path: str) -> int:
        size: int = directory_size(place.localize(path))
        return size

    def GetFilesystemStats(path: str) -> tuple[int, int]:
        stats: tuple[int, int] = _reported_space(place, path) or filesystem_stats(place.localize(path))
        return stats

    module.CalculateDirectorySize = CalculateDirectorySize
    module.GetFilesystemStats = GetFilesystemStats


_WHY = "On a real cluster each node has file storage of its own; the path is the same everywhere."

ADAPTATIONS = (
    Adaptation(
        name="file-storage-defaults",
        module="ganeti.pathutils",
        targets=("DEFAULT_FILE_STORAGE_DIR", "DEFAULT_SHARED_FILE_STORAGE_DIR"),
        what="The cluster stores the folder of file storage without a node root in it.",
        why=_WHY,
        apply=_default_folders,
    ),
    Adaptation(
        name="file-storage-files",
        module="ganeti.storage.filestorage",
        targets=(
            "FileDeviceHelper.CreateFile",
            "FileDeviceHelper.Move",
            "FileStorage",
            "CheckFileStoragePath",
            "CheckFileStoragePathAcceptance",
            "GetFileStorageSpaceInfo",
        ),
        what="Disks of instances are files below the node's own root; free and total space are the node's"
        " (what its NodeSpec says, less the files there).",
        why=_WHY,
        apply=_disk_files,
    ),
    Adaptation(
        name="file-storage-init",
        module="ganeti.bootstrap",
        targets=(
            "_InitFileStorageDir",
            "_PrepareFileBasedStorage",
            "_PrepareFileStorage",
            "_PrepareSharedFileStorage",
        ),
        what="`gnt-cluster init` makes the folder below the node's root.",
        why=_WHY,
        apply=_init_folder,
    ),
    Adaptation(
        name="file-storage-folders",
        module="ganeti.backend",
        targets=("_TransformFileStorageDir",),
        what="noded makes, renames and removes an instance's folder below the node's root.",
        why=_WHY,
        apply=_instance_folders,
    ),
    Adaptation(
        name="file-storage-sizes",
        module="ganeti.utils.io",
        targets=("CalculateDirectorySize", "GetFilesystemStats"),
        what="`gnt-node list-storage` tells the sizes of the node's own folders, or what its NodeSpec says.",
        why=_WHY,
        apply=_sizes,
    ),
)
