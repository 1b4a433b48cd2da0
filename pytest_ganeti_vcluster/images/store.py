"""Images of ready clusters, each built once on a host, by whoever comes first.

    image-KEY/image.json    what it is an image of (`info`); touched whenever it is used
    image-KEY/TOKEN/        its content; TOKEN is random, so that nobody who reads an image finds himself in the
                            next one of the same key
    .new-image-KEY-HOST/    one that is being made
    .old-image-TOKEN/       one that is being removed
    image-locks/            who builds what (`claims`)

Whatever else is in the folder is not ours, and left alone.

An image is whole by construction: it is made under another name, its record last, and renamed, and it is renamed
again before the first file of it is removed; the kernel renames a folder whole or not at all. Nothing is flushed to
the disk, as it is only a cache: what a crash of the machine leaves half written has another digest than its manifest
says, and who reads an image checks each digest. Readers hold no lock; who finds the files gone, or changed, obtains
the image again (`use`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Callable, TypeVar

import attrs

from pytest_ganeti_vcluster.errors import DiskFull, ImageCacheUnusable, ImageDamaged, ImageError
from pytest_ganeti_vcluster.images.claims import Claims
from pytest_ganeti_vcluster.images.info import INFO_FILE, ImageInfo, ImageKey, room_of
from pytest_ganeti_vcluster.images.place import Place, is_below
from pytest_ganeti_vcluster.keeper.folder import remove_path
from pytest_ganeti_vcluster.keeper.record import write_json
from pytest_ganeti_vcluster.settings import Settings

_Read = TypeVar("_Read")
Tell = Callable[[str], None]

#: How many boots' time those who wait for an image give each who builds it: it is also stopped and copied.
_PATIENCE = 2.0

#: How often an image is obtained that is found gone or damaged each time.
_TRIES = 3

#: Seconds after which what another host has begun to make counts as left behind.
_LONG_AGO = 86400.0

_LOCKS = "image-locks"
_IMAGE = re.compile("image-([0-9a-f]{8,64})")
_UNBORN = re.compile(r"\.new-image-([0-9a-f]{8,64})-([0-9a-f]{8})")
_DYING = re.compile(r"\.old-image-([0-9a-f]{8})")


def _quiet(_line: str) -> None:
    pass


@attrs.frozen
class Removed:
    """What was removed, and why; whether it is gone."""

    info: ImageInfo
    why: str
    gone: bool = True


@attrs.frozen
class ImageStore:
    """The images in one folder. It need not be there yet.

    `limit` is how many bytes they may take. `patience`: seconds that one who builds may take until those who wait
    for it give up.
    """

    folder: Path
    limit: int
    patience: float = 600.0

    @classmethod
    def of(cls, settings: Settings) -> ImageStore | None:
        """Return the store that a run uses; None where it goes without."""
        if settings.image_cache is None:
            return None
        return cls(settings.image_cache, settings.image_limit << 20, _PATIENCE * settings.timeout)

    def use(
        self, key: ImageKey, make: Callable[[Path], None], read: Callable[[Path], _Read], tell: Tell = _quiet
    ) -> _Read:
        """Obtain an image and return what `read` makes of its folder.

        Where that finds it damaged or removed (`ImageDamaged`, `FileNotFoundError` of a path in it) it is built
        again, and `read` is called again: it has to leave nothing half done. Raises what it raised in the end.
        """
        for last in (False,) * (_TRIES - 1) + (True,):
            folder = self.obtain(key, make, tell)
            try:
                return read(folder)
            except (ImageDamaged, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError) and not is_below(error.filename, folder):
                    raise
                self.discard(folder)
                if last:
                    raise
                tell(f"the {_name(key)} is of no use and built again: {str(error).splitlines()[0]}")
        raise AssertionError("the last try returns or raises")

    def obtain(self, key: ImageKey, make: Callable[[Path], None], tell: Tell = _quiet) -> Path:
        """Return the folder of an image's content, made by `make` if there is none yet.

        `make` gets a folder that is not there, in one that is, of mode 0700; what it raises is raised, and nothing is
        left. Who comes while another makes it waits, and `tell` is told for whom. Raises `ImageCacheUnusable`,
        `DiskFull`, and `ImageError` for other errors of files and after having waited too long.
        """
        with self._place.clear_errors():
            self._place.check()
            if (found := self._find(key)) is not None:
                return found
            self._place.make()
        with contextlib.ExitStack() as stack:
            with self._place.clear_errors():
                stack.enter_context(self._claims.hold(key.digest, _name(key), self.patience, tell))
                if (found := self._find(key)) is not None:
                    return found
            content = self._build(key, make)
        with contextlib.suppress(ImageCacheUnusable, DiskFull):
            self.collect(keep=key.digest)
        return content

    def discard(self, content: Path) -> None:
        """Remove the image of this content, as `obtain` has returned it; nothing if it is gone already.

        One that was built in its place meanwhile stays.
        """
        key = content.parent.name.partition("-")[2]
        if not content.exists():
            return
        with self._place.clear_errors(), self._claims.hold(key, f"image {key}", self.patience, _quiet):
            if content.exists():
                self._remove(content.parent)

    def images(self) -> list[ImageInfo]:
        """Look at all images, least recently used first."""
        folders = [path for path, _ in self._place.entries(_IMAGE)]
        infos = [info for folder in folders if (info := ImageInfo.read(folder)) is not None]
        return sorted(infos, key=lambda info: (info.used, info.key))

    def size(self) -> int:
        """Bytes that all images take, about."""
        return sum(info.size for info in self.images())

    def collect(
        self,
        limit: int | None = None,
        *,
        keep: str = "",
        of_no_use: Callable[[ImageInfo], str] = lambda _info: "",
    ) -> list[Removed]:
        """Remove what was left behind, what is of no use, and then the least recently used ones above the limit.

        `limit` in bytes (default: the store's). `of_no_use` says why an image is, empty if it is not. The image
        of key `keep` stays, as does any whose lock somebody holds, or that was used meanwhile. Return what was
        removed, or was to be and could not. Raises `ImageCacheUnusable`, `DiskFull`.
        """
        with self._place.clear_errors():
            self._place.check()
            return [*self._sweep(), *self._shrink(self.limit if limit is None else limit, keep, of_no_use)]

    def _shrink(self, limit: int, keep: str, of_no_use: Callable[[ImageInfo], str]) -> list[Removed]:
        removed = []
        infos = self.images()
        total = sum(info.size for info in infos)
        infos = [info for info in infos if info.key != keep]
        reasons = {info.key: "broken" if info.is_broken else of_no_use(info) for info in infos}
        # The least recently used come first, and sorting keeps that order.
        for info in sorted(infos, key=lambda info: not reasons[info.key]):
            why = reasons[info.key]
            if not why and total > limit:
                why = "was not used for longest"
            gone = self._remove_if_free(info) if why else None
            if gone is not None:
                removed.append(Removed(info, why, gone))
                total -= info.size if gone else 0
        return removed

    @property
    def _place(self) -> Place:
        return Place(self.folder)

    @property
    def _claims(self) -> Claims:
        return Claims(self.folder / _LOCKS)

    def _find(self, key: ImageKey) -> Path | None:
        info = ImageInfo.read(self._image(key))
        if info is None or info.content is None:
            return None
        with contextlib.suppress(OSError):
            # A cache that is only to be read is one nevertheless.
            _touch(info.folder / INFO_FILE)
        return info.content

    def _build(self, key: ImageKey, make: Callable[[Path], None]) -> Path:
        """Make an image while holding its lock."""
        with self._place.clear_errors():
            self._remove(self._image(key))
            self._remove_unborn(key.digest)
        unborn = self.folder / f".new-image-{key}-{_host()}"
        content = unborn / secrets.token_hex(4)
        try:
            with self._place.clear_errors():
                unborn.mkdir(mode=0o700)
                make(content)
                info = ImageInfo(
                    folder=unborn,
                    key=key.digest,
                    content=content,
                    label=key.label,
                    size=room_of(unborn),
                    created=time.time(),
                    used=time.time(),
                    facts=key.facts,
                )
                write_json(unborn / INFO_FILE, info.to_json())
                _touch(unborn / INFO_FILE)
                return self._bear(unborn, content, key)
        except OSError as error:
            raise ImageError(
                f"the {_name(key)} could not be made", seen=str(error), cure="run `ganeti-vcluster doctor`"
            ) from error
        finally:
            # Gone already, if all went well.
            remove_path(unborn)

    def _bear(self, unborn: Path, content: Path, key: ImageKey) -> Path:
        try:
            unborn.rename(self._image(key))
        except OSError as error:
            # Another host was quicker, with which we share the folder and no locks.
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY} and (found := self._find(key)) is not None:
                return found
            raise
        return self._image(key) / content.name

    def _sweep(self) -> list[Removed]:
        """Remove what those have left who were killed while they made or removed an image."""
        removed = []
        for path, _ in self._place.entries(_DYING):
            remains = ImageInfo.of_remains(path)
            remove_path(path)
            removed.append(Removed(remains, "was being removed", not path.exists()))
        for path, found in self._place.entries(_UNBORN):
            with self._claims.hold_if_free(found[1]) as held:
                remains = ImageInfo.of_remains(path)
                if held and self._remove_unborn(found[1]):
                    removed.append(Removed(remains, "was never finished", not path.exists()))
        return removed

    def _remove_unborn(self, key: str) -> bool:
        """Remove what is left of makers of this image, whose lock we hold: so they are no more."""
        any_found = False
        for path, found in self._place.entries(_UNBORN):
            if found[1] == key and (found[2] == _host() or _is_old(path)):
                remove_path(path)
                any_found = True
        return any_found

    def _remove_if_free(self, info: ImageInfo) -> bool | None:
        """Remove an image; whether it is gone, and None where somebody uses it and it was not tried."""
        with self._claims.hold_if_free(info.key) as held:
            # Not if it was used, or built anew, since we looked.
            if not held or ImageInfo.read(info.folder) != info:
                return None
            return self._remove(info.folder)

    def _remove(self, folder: Path) -> bool:
        """Remove an image, whose lock we hold; whether there was one, and it is gone."""
        dying = self.folder / f".old-image-{secrets.token_hex(4)}"
        try:
            folder.rename(dying)
        except OSError:
            return False
        remove_path(dying)
        return True

    def _image(self, key: ImageKey) -> Path:
        return self.folder / f"image-{key}"


def _name(key: ImageKey) -> str:
    return f"image of {key.label}" if key.label else f"image {key.digest}"


def _touch(path: Path) -> None:
    # The kernel's own idea of now is up to 10 ms old, and an image is used more often.
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _host() -> str:
    """Name this host in file names; the same after it was started again."""
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _LONG_AGO
    except OSError:
        return False
