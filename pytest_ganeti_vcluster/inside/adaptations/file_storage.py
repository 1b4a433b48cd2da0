"""Each node's own file storage.

Ganeti stores the file storage folder once, for all nodes. A virtual cluster of upstream's design stores it with the
master's node root in it, so that all nodes write into the master's folder. Here the cluster stores it as a real one
would (/srv/ganeti/file-storage), and each node maps it below its own root at the last moment.
"""

from __future__ import annotations

import os
from typing import Any

from ..adapting import Adaptation
from ..place import Place
from .node_report import storage_space


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
        found = (info["storage_size"], info["storage_free"])
        info["storage_size"], info["storage_free"] = storage_space(place, path, found)
        return info

    Helper.CreateFile = classmethod(CreateFile)
    Helper.__init__ = helper_init
    Helper.Move = Move
    Storage.__init__ = storage_init
    module.CheckFileStoragePath = CheckFileStoragePath
    module.GetFileStorageSpaceInfo = GetFileStorageSpaceInfo


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
        return storage_space(place, path, filesystem_stats(place.localize(path)))

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
        what="Disks of instances are files below the node's own root; total space is what its NodeSpec says, or the"
        " file system's, and free is what the files there leave, though they are sparse.",
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
        what="`gnt-node list-storage` tells the sizes of the node's own folders, total and free as above.",
        why=_WHY,
        apply=_sizes,
    ),
)
