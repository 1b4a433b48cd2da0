"""What the files of a cluster are at one moment, kept in a folder of its own.

    manifest.json   a digest of the rest of it, then what there is: path, kind, mode, size, digest
    tree/           the contents of the files; small ones with placeholders for a cluster's own words

An image is such a content with placeholders, of a cluster that is fresh; a snapshot is one without.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.errors import ImageDamaged
from pytest_ganeti_vcluster.images.files import (
    PIECE,
    copy_pieces,
    digest_of,
    digest_of_pieces,
    write_new,
)
from pytest_ganeti_vcluster.images.words import Words

MANIFEST = "manifest.json"
TREE = "tree"

FOLDER, FILE, LARGE, LINK = "folder", "file", "large", "link"

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


@attrs.frozen
class Entry:
    """One path: `kind` is "folder", "file", "large" (a large file) or "link"; `mode` the permission bits.

    `size` and `digest` are those of the file in the tree; `target` is a link's, neutral. `data`: contents that
    stand here instead of the tree's, as the cluster has them.
    """

    path: str
    kind: str
    mode: int = 0
    size: int = 0
    digest: str = ""
    target: str = ""
    data: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Content:
    """A content that was captured; `folder` has its tree. Entries are by path, parents before children."""

    folder: Path
    entries: Mapping[str, Entry] = attrs.field(repr=False)

    # Taking

    @classmethod
    def capture(
        cls,
        source: Path,
        folder: Path,
        tops: Sequence[str],
        words: Words,
        leave_out: Callable[[str], bool] = lambda _path: False,
    ) -> Content:
        """Capture what stands below the folders `tops` of `source` into `folder`, which must not exist.

        `leave_out` says of a path (below `source`) that it is not of it; a folder left out is left out whole.
        Sockets and the like never are. Raises `OSError`.
        """
        tree = folder / TREE
        folder.mkdir(mode=_FOLDER_MODE)
        tree.mkdir(mode=_FOLDER_MODE)
        entries: dict[str, Entry] = {}
        for path in _walk(source, tops, leave_out):
            entry = _take(source / path, path, tree, words)
            if entry is not None:
                entries[path] = entry
        content = cls(folder, entries)
        content._write_manifest()
        return content

    def _write_manifest(self) -> None:
        rows = [[getattr(entry, name) for name in _STORED] for entry in self.entries.values()]
        text = json.dumps(rows, separators=(",", ":"))
        write_new(self.folder / MANIFEST, f"{digest_of(text.encode())}\n{text}".encode(), _FILE_MODE)

    @classmethod
    def load(cls, folder: Path) -> Content:
        """Load what `capture` has made. Raises `ImageDamaged` for a manifest that is not whole."""
        try:
            digest, _, text = (folder / MANIFEST).read_text(encoding="utf-8").partition("\n")
            if digest_of(text.encode()) != digest:
                raise _damaged(folder, f"{MANIFEST} is not as it was written")
            entries = [Entry(**dict(zip(_STORED, row))) for row in json.loads(text)]
        except (OSError, ValueError, TypeError) as error:
            raise _damaged(folder, f"{MANIFEST}: {error}") from error
        return cls(folder, {entry.path: entry for entry in entries})

    def check(self) -> None:
        """Read all of it; raise `ImageDamaged` unless the tree holds just what was captured."""
        tree = self.folder / TREE
        found = {str(path.relative_to(tree)) for path in tree.rglob("*")}
        wanted = {path for path, entry in self.entries.items() if entry.kind != LINK}
        if found != wanted:
            odd = sorted(found ^ wanted)
            raise _damaged(self.folder, f"{odd[0]} {'is too many' if odd[0] in found else 'is missing'}")
        for entry in self.entries.values():
            if entry.kind == FILE:
                self._read(entry)
            elif entry.kind == LARGE:
                self._check_large(entry)

    @property
    def size(self) -> int:
        """Bytes of all files, holes counted."""
        return sum(entry.size for entry in self.entries.values())

    def having(self, files: Iterable[Entry]) -> Content:
        """Give the same with other entries in the place of some, or in addition; their folders must be there."""
        return attrs.evolve(self, entries={**self.entries, **{entry.path: entry for entry in files}})

    def select(self, wanted: Callable[[str], bool]) -> Content:
        """Give the part of it whose paths are wanted."""
        return attrs.evolve(self, entries={path: one for path, one in self.entries.items() if wanted(path)})

    def data(self, path: str) -> bytes:
        """Return the contents of a small file, neutral. Raises `ImageDamaged`, `KeyError`."""
        return self._read(self.entries[path])

    # Putting

    def put(self, target: Path, words: Words) -> None:
        """Make all of it below `target`, where nothing of it stands. Raises `ImageDamaged`, `OSError`."""
        for entry in self.entries.values():
            self._make(entry, target, words)
        self._set_folder_modes(target)

    def restore(
        self,
        target: Path,
        tops: Sequence[str],
        words: Words,
        *,
        leave: Callable[[str], bool] = lambda _path: False,
        is_known: Callable[[str], bool] = lambda _path: False,
    ) -> list[str]:
        """Make what stands below the `tops` of `target` equal to this; return the paths that were not.

        `leave` says of a path that it is not looked at. `is_known` says that an existing file is as it should
        be, which spares reading it. Raises `ImageDamaged`, `OSError`.
        """
        changed: list[str] = []
        extra: list[str] = []
        seen: set[str] = set()
        for path in _walk(target, tops, leave):
            entry = self.entries.get(path)
            if entry is None:
                extra.append(path)
                continue
            seen.add(path)
            if not (entry.kind != FOLDER and is_known(path)) and not self._is_so(entry, target, words):
                extra.append(path)
        # Children before parents.
        for path in reversed(extra):
            _remove(target / path)
            seen.discard(path)
            changed.append(path)
        for path, entry in self.entries.items():
            if path not in seen and not leave(path):
                self._make(entry, target, words)
                changed.append(path)
        self._set_folder_modes(target)
        return sorted(set(changed))

    def _is_so(self, entry: Entry, target: Path, words: Words) -> bool:
        path = target / entry.path
        found = path.lstat()
        if entry.kind == LINK:
            wanted = os.fsdecode(words.from_neutral(os.fsencode(entry.target)))
            return stat.S_ISLNK(found.st_mode) and os.readlink(path) == wanted  # noqa: PTH115 - the text counts
        if entry.kind == FOLDER:
            return stat.S_ISDIR(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != entry.mode:
            return False
        if entry.kind == LARGE:
            return found.st_size == entry.size and digest_of_pieces(path) == entry.digest
        return path.read_bytes() == self._data(entry, words)

    def _make(self, entry: Entry, target: Path, words: Words) -> None:
        path = target / entry.path
        if entry.kind == FOLDER:
            # Its own mode may not let us in: that comes last.
            path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        elif entry.kind == LINK:
            path.symlink_to(os.fsdecode(words.from_neutral(os.fsencode(entry.target))))
        elif entry.kind == FILE:
            write_new(path, self._data(entry, words), entry.mode)
        else:
            self._copy_large(entry, path)

    def _copy_large(self, entry: Entry, path: Path) -> None:
        source = self._source(entry)
        if not source.exists():
            raise _damaged(self.folder, f"{entry.path} is gone")
        if copy_pieces(source, path, entry.mode) != entry.digest:
            raise _damaged(self.folder, f"{entry.path} has other contents")

    def _set_folder_modes(self, target: Path) -> None:
        for entry in reversed(list(self.entries.values())):
            if entry.kind == FOLDER:
                path = target / entry.path
                if stat.S_IMODE(path.stat().st_mode) != entry.mode:
                    path.chmod(entry.mode)

    def _data(self, entry: Entry, words: Words) -> bytes:
        return words.from_neutral(self._read(entry)) if entry.data is None else entry.data

    def _read(self, entry: Entry) -> bytes:
        try:
            data = self._source(entry).read_bytes()
        except OSError as error:
            raise _damaged(self.folder, f"{entry.path}: {error}") from error
        if digest_of(data) != entry.digest:
            raise _damaged(self.folder, f"{entry.path} has other contents")
        return data

    def _check_large(self, entry: Entry) -> None:
        try:
            digest = digest_of_pieces(self._source(entry))
        except OSError as error:
            raise _damaged(self.folder, f"{entry.path}: {error}") from error
        if digest != entry.digest:
            raise _damaged(self.folder, f"{entry.path} has other contents")

    def _source(self, entry: Entry) -> Path:
        return self.folder / TREE / entry.path


_STORED = ("path", "kind", "mode", "size", "digest", "target")


def file_entry(path: str, file: Path) -> Entry:
    """Make an entry of a small file as it stands there."""
    data = file.read_bytes()
    return Entry(path, FILE, stat.S_IMODE(file.lstat().st_mode), len(data), data=data)


def _damaged(folder: Path, what: str) -> ImageDamaged:
    return ImageDamaged(
        f"what is kept in {folder} is damaged: {what}",
        cure="an image is built again by itself; a snapshot is lost: take it again",
    )


def _walk(source: Path, tops: Sequence[str], leave_out: Callable[[str], bool]) -> Iterator[str]:
    """Give all paths, parents before children; a folder that is closed to us is opened."""
    waiting = [top for top in reversed(tops) if os.path.lexists(source / top)]
    while waiting:
        path = waiting.pop()
        if leave_out(path):
            continue
        yield path
        full = source / path
        if full.is_symlink() or not full.is_dir():
            continue
        try:
            names = os.listdir(full)  # noqa: PTH208 - names are wanted
        except PermissionError:
            full.chmod(_FOLDER_MODE)
            names = os.listdir(full)  # noqa: PTH208
        waiting.extend(f"{path}/{name}" for name in sorted(names, reverse=True))


def _take(path: Path, name: str, tree: Path, words: Words) -> Entry | None:
    """Copy one path into the tree and describe it; None for what is no file, folder or link, or just went."""
    try:
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISLNK(found.st_mode):
            target = os.fsdecode(words.to_neutral(os.fsencode(os.readlink(path))))  # noqa: PTH115 - the text counts
            return Entry(name, LINK, target=target)
        if stat.S_ISDIR(found.st_mode):
            (tree / name).mkdir(mode=_FOLDER_MODE, parents=True)
            return Entry(name, FOLDER, mode)
        if not stat.S_ISREG(found.st_mode):
            return None
        return _take_file(path, found, name, tree, words)
    except FileNotFoundError:
        # A temporary file of somebody's.
        return None


def _take_file(path: Path, found: os.stat_result, name: str, tree: Path, words: Words) -> Entry:
    mode = stat.S_IMODE(found.st_mode)
    readable = bool(mode & stat.S_IRUSR) or os.geteuid() == 0
    if not readable:
        path.chmod(mode | stat.S_IRUSR)
    try:
        if found.st_size > PIECE:
            digest = copy_pieces(path, tree / name, _FILE_MODE)
            return Entry(name, LARGE, mode, found.st_size, digest)
        data = words.to_neutral(path.read_bytes())
    finally:
        if not readable:
            path.chmod(mode)
    write_new(tree / name, data, _FILE_MODE)
    return Entry(name, FILE, mode, len(data), digest_of(data))


def _remove(path: Path) -> None:
    """Remove a file, link or folder, a folder with what was left in it."""
    try:
        _unlink(path)
    except PermissionError:
        path.parent.chmod(_FOLDER_MODE)
        _unlink(path)


def _unlink(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
