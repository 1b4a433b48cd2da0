"""What the files of a cluster are at one moment, kept in a folder of its own.

    manifest.json   a digest of the rest of it, then what there is: path, kind, mode, size, digest
    tree/           the contents of the files, each once, by digest; small ones with placeholders for a cluster's own
                    words

Nodes have most of their files in common: what is kept of a hundred nodes is little more than what is kept of one.

An image is such a content with placeholders, of a cluster that is fresh; a snapshot is one without.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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

#: Threads that make files.
_MAKERS = 2

#: A large file while it is copied, below the tree.
_COPYING = "copying"


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
            entry = _take(f"{source}/{path}", path, tree, words)
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
        found = {path.name for path in tree.iterdir()} if tree.is_dir() else set()
        wanted = {entry.digest: entry for entry in self.entries.values() if entry.kind in (FILE, LARGE)}
        for digest in sorted(found ^ wanted.keys()):
            if digest in found:
                raise _damaged(self.folder, f"{TREE}/{digest} is too many")
            raise _damaged(self.folder, f"{wanted[digest].path} is missing")
        for entry in wanted.values():
            if entry.kind == FILE:
                self._read(entry)
            else:
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
        by_top: dict[str, list[Entry]] = {}
        for path, entry in self.entries.items():
            by_top.setdefault(path.partition("/")[0], []).append(entry)
        data = _Data(self, words)

        def make_all(entries: Sequence[Entry]) -> None:
            for entry in entries:
                self._make(entry, target, data)

        # The kernel makes files of several folders at a time.
        with ThreadPoolExecutor(min(_MAKERS, max(1, len(by_top)))) as threads:
            list(threads.map(make_all, by_top.values()))
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
        data = _Data(self, words)
        changed: list[str] = []
        extra: list[str] = []
        seen: set[str] = set()
        for path in _walk(target, tops, leave):
            entry = self.entries.get(path)
            if entry is None:
                extra.append(path)
                continue
            seen.add(path)
            if not (entry.kind != FOLDER and is_known(path)) and not self._is_so(entry, target, data):
                extra.append(path)
        # Children before parents.
        for path in reversed(extra):
            _remove(target / path)
            seen.discard(path)
            changed.append(path)
        for path, entry in self.entries.items():
            if path not in seen and not leave(path):
                self._make(entry, target, data)
                changed.append(path)
        self._set_folder_modes(target)
        return sorted(set(changed))

    def _is_so(self, entry: Entry, target: Path, data: _Data) -> bool:
        path = target / entry.path
        found = path.lstat()
        if entry.kind == LINK:
            wanted = data.target_of(entry)
            return stat.S_ISLNK(found.st_mode) and os.readlink(path) == wanted  # noqa: PTH115 - the text counts
        if entry.kind == FOLDER:
            return stat.S_ISDIR(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != entry.mode:
            return False
        if entry.kind == LARGE:
            return found.st_size == entry.size and digest_of_pieces(path) == entry.digest
        return path.read_bytes() == data.of(entry)

    def _make(self, entry: Entry, target: Path, data: _Data) -> None:
        # Done ten thousand times for a hundred nodes, so there is no `Path`.
        path = f"{target}/{entry.path}"
        if entry.kind == FOLDER:
            # Its own mode may not let us in: that comes last.
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, _FOLDER_MODE)  # noqa: PTH102
        elif entry.kind == LINK:
            os.symlink(data.target_of(entry), path)  # noqa: PTH211
        elif entry.kind == FILE:
            write_new(path, data.of(entry), entry.mode)
        else:
            self._copy_large(entry, Path(path))

    def _copy_large(self, entry: Entry, path: Path) -> None:
        source = self._source(entry)
        if not source.exists():
            raise _damaged(self.folder, f"{entry.path} is gone")
        if copy_pieces(source, path, entry.mode) != entry.digest:
            raise _damaged(self.folder, f"{entry.path} has other contents")

    def _set_folder_modes(self, target: Path) -> None:
        for entry in reversed(list(self.entries.values())):
            if entry.kind == FOLDER:
                path = f"{target}/{entry.path}"
                if stat.S_IMODE(os.stat(path).st_mode) != entry.mode:  # noqa: PTH116 - as in `_make`
                    os.chmod(path, entry.mode)  # noqa: PTH101

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
        return self.folder / TREE / entry.digest


@attrs.define
class _Data:
    """What small files of a content are to hold in one cluster; each contents are read once."""

    _content: Content
    _words: Words
    _read: dict[str, bytes] = attrs.field(factory=dict, repr=False)

    def of(self, entry: Entry) -> bytes:
        """Return a file's contents. Raises `ImageDamaged`."""
        if entry.data is not None:
            return entry.data
        data = self._read.get(entry.digest)
        if data is None:
            data = self._read[entry.digest] = self._words.from_neutral(self._content.data(entry.path))
        return data

    def target_of(self, entry: Entry) -> str:
        """Return where a link points."""
        return os.fsdecode(self._words.from_neutral(os.fsencode(entry.target)))


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
    # As in `Content._make`, there is no `Path`.
    waiting = [top for top in reversed(tops) if os.path.lexists(source / top)]
    while waiting:
        path = waiting.pop()
        if leave_out(path):
            continue
        yield path
        full = f"{source}/{path}"
        try:
            if not stat.S_ISDIR(os.lstat(full).st_mode):
                continue
        except FileNotFoundError:
            continue
        try:
            names = os.listdir(full)  # noqa: PTH208
        except PermissionError:
            os.chmod(full, _FOLDER_MODE)  # noqa: PTH101
            names = os.listdir(full)  # noqa: PTH208
        waiting.extend([f"{path}/{name}" for name in sorted(names, reverse=True)])


def _take(path: str, name: str, tree: Path, words: Words) -> Entry | None:
    """Copy one path into the tree and describe it; None for what is no file, folder or link, or just went."""
    try:
        found = os.lstat(path)
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISLNK(found.st_mode):
            target = os.fsdecode(words.to_neutral(os.fsencode(os.readlink(path))))  # noqa: PTH115 - the text counts
            return Entry(name, LINK, target=target)
        if stat.S_ISDIR(found.st_mode):
            return Entry(name, FOLDER, mode)
        if not stat.S_ISREG(found.st_mode):
            return None
        return _take_file(Path(path), found, name, tree, words)
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
            digest = copy_pieces(path, tree / _COPYING, _FILE_MODE)
            (tree / _COPYING).replace(tree / digest)
            return Entry(name, LARGE, mode, found.st_size, digest)
        data = words.to_neutral(path.read_bytes())
    finally:
        if not readable:
            path.chmod(mode)
    digest = digest_of(data)
    if not os.path.lexists(tree / digest):
        write_new(tree / digest, data, _FILE_MODE)
    return Entry(name, FILE, mode, len(data), digest)


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
