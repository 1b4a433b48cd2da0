"""The folder that images are kept in: whether it will do, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import DiskFull, ImageCacheUnusable

#: What flock says where there is none.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}

_CURE = (
    "give another folder (--vcluster-image-cache=FOLDER), or go without images (--vcluster-image-cache=off)"
)


@attrs.frozen
class Place:
    """That folder; it need not be there."""

    folder: Path

    def check(self) -> None:
        """Raise `ImageCacheUnusable` unless the folder, if it is there, is ours alone to write in.

        What is in an image runs as us.
        """
        try:
            found = self.folder.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise self._unusable("it is no folder")
        if found.st_uid != os.geteuid():
            raise self._unusable(f"it belongs to another user (uid {found.st_uid}), and images hold keys")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise self._unusable(
                f"others may write there (mode {stat.S_IMODE(found.st_mode):04o}), and what is in images runs as you",
                cure=f"run `chmod go-w {self.folder}`, {_CURE}",
            )

    def make(self) -> None:
        """Make it if it is not there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def entries(self, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
        """Look what is there under names like these."""
        try:
            paths = sorted(self.folder.iterdir())
        except OSError:
            return []
        return [(path, found) for path in paths if (found := pattern.fullmatch(path.name))]

    @contextlib.contextmanager
    def clear_errors(self) -> Iterator[None]:
        """Say what an error of the folder's file system means; raises `DiskFull`, `ImageCacheUnusable`."""
        try:
            yield
        except NotImplementedError as error:
            raise self._unusable("its file system has no locks") from error
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFull(
                    f"no room left for an image in {self.folder}",
                    seen=str(error),
                    cure="make room there (`ganeti-vcluster gc --images` removes images), " + _CURE,
                ) from error
            if error.errno in _NO_LOCKS:
                raise self._unusable("its file system has no locks") from error
            if is_below(error.filename, self.folder) or _is_above(error.filename, self.folder):
                raise self._unusable(str(error)) from error
            raise

    def _unusable(self, why: str, cure: str = _CURE) -> ImageCacheUnusable:
        return ImageCacheUnusable(f"images of clusters cannot be kept in {self.folder}", seen=why, cure=cure)


def is_below(path: object, folder: Path) -> bool:
    """Whether an error's file name is a path in a folder, or the folder itself."""
    return isinstance(path, str) and Path(path).is_relative_to(folder)


def _is_above(path: object, folder: Path) -> bool:
    return isinstance(path, str) and folder.is_relative_to(path)
