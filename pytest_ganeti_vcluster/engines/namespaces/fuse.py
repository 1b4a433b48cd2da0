"""The FUSE protocol of <linux/fuse.h>, as far as a file system needs it that passes on what it is asked.

Imports the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import time
from collections.abc import Iterator
from typing import Callable

#: What we speak: later kernels speak it too.
_MAJOR, _MINOR = 7, 31

#: Bytes that are written at once, and room for what goes before them in a message.
_MOST = 128 * 1024
_ROOM = 4096

# struct fuse_in_header, fuse_out_header, fuse_attr, and what stands before that in answers.
_IN = struct.Struct("=IIQQIIII")
_OUT = struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("=QQQQII")
_VALID = struct.Struct("=QII")
_OPENED = struct.Struct("=QII")
_STATFS = struct.Struct("=QQQQQIIII24x")
_DIRENT = struct.Struct("=QQII")
_SETTING = struct.Struct("=IIQQQQQQIIIIIIII")
_TRANSFER = struct.Struct("=QQIIQII")

# Of fuse_setattr_in.
_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME, _FH, _ATIME_NOW, _MTIME_NOW = (1 << bit for bit in range(9))

#: Flags of open(2) that are the kernel's business.
_NOT_OURS = os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_TRUNC | os.O_APPEND | os.O_DIRECT

_ROOT = 1
_SECOND = 1_000_000_000


class PassingOn:
    """Serves at `device` (an open /dev/fuse that is mounted) what is below `folder` (an open one).

    `space` says total and free bytes. Nothing is kept in mind: what changes below without us is seen at once.
    """

    def __init__(self, device: int, folder: int, space: Callable[[], tuple[int, int]]) -> None:
        self._device = device
        self._folder = folder
        self._space = space
        self._paths = {_ROOT: "."}
        self._numbers = {".": _ROOT}
        self._known = {_ROOT: 1}
        self._last = _ROOT
        self._removed: dict[int, int] = {}
        self._listings: dict[int, list[tuple[int, int, bytes]]] = {}
        self._answers: dict[int, Callable[[int, bytes], bytes | None]] = {
            1: self._look_up,
            2: self._forget,
            3: self._tell_attributes,
            4: self._set_attributes,
            5: lambda number, _body: os.fsencode(os.readlink(self._path(number), dir_fd=self._folder)),
            6: self._symlink,
            8: self._mknod,
            9: self._mkdir,
            10: self._unlink,
            11: self._rmdir,
            12: lambda number, body: self._rename(number, body, 8),
            13: self._link,
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statfs,
            18: self._release,
            20: self._fsync,
            26: self._begin,
            27: self._open_folder,
            28: self._read_folder,
            29: self._release_folder,
            35: self._create,
            36: lambda _number, _body: None,
            42: self._forget_many,
            43: self._allocate,
            45: lambda number, body: self._rename(number, body, 16),
            46: self._seek,
        }

    def serve(self) -> None:
        """Serve until it is unmounted."""
        while True:
            try:
                message = os.read(self._device, _MOST + _ROOM)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.EINTR}:
                    # Who asked has been interrupted.
                    continue
                if error.errno == errno.ENODEV:
                    return
                raise
            _length, kind, unique, number, *_who = _IN.unpack_from(message)
            status, answer = self._answer(kind, number, message[_IN.size :])
            if answer is None:
                continue
            try:
                os.write(self._device, _OUT.pack(_OUT.size + len(answer), status, unique) + answer)
            except OSError as error:
                # Who asked does not wait any more.
                if error.errno != errno.ENOENT:
                    raise

    def _answer(self, kind: int, number: int, body: bytes) -> tuple[int, bytes | None]:
        """Return the status and what follows it; None for what wants no answer."""
        if kind not in self._answers:
            return -errno.ENOSYS, b""
        try:
            return 0, self._answers[kind](number, body)
        except OSError as error:
            return -(error.errno or errno.EIO), b""

    # Which files there are

    def _path(self, number: int) -> str:
        if number in self._removed:
            return f"/proc/self/fd/{self._removed[number]}"
        return self._paths[number]

    def _inner(self, number: int, name: bytes) -> str:
        return f"{self._path(number)}/{os.fsdecode(name)}"

    def _entry(self, path: str) -> bytes:
        found = os.stat(path, dir_fd=self._folder, follow_symlinks=False)
        number = self._numbers.get(path)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[path], self._paths[number] = number, path
        self._known[number] = self._known.get(number, 0) + 1
        return _ENTRY.pack(number, 0, 0, 0, 0, 0) + _attributes(found)

    @contextlib.contextmanager
    def _dropping(self, path: str) -> Iterator[None]:
        """Have the file of a path, which is removed meanwhile, be known without one until it is forgotten."""
        number = self._numbers.get(path)
        held = None
        if number is not None:
            with contextlib.suppress(FileNotFoundError):
                held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            yield
        except BaseException:
            if held is not None:
                os.close(held)
            raise
        if number is not None:
            # What comes there is another file.
            del self._numbers[path]
            if held is not None:
                self._removed[number] = held

    def _look_up(self, number: int, body: bytes) -> bytes:
        return self._entry(self._inner(number, body[:-1]))

    def _forget(self, number: int, body: bytes) -> None:
        (times,) = struct.unpack_from("=Q", body)
        left = self._known.get(number, 0) - times
        self._known[number] = left
        if left <= 0 and number != _ROOT:
            del self._known[number]
            path = self._paths.pop(number)
            if self._numbers.get(path) == number:
                del self._numbers[path]
            if number in self._removed:
                os.close(self._removed.pop(number))

    def _forget_many(self, _number: int, body: bytes) -> None:
        count, _unused = struct.unpack_from("=II", body)
        for one in range(count):
            (number,) = struct.unpack_from("=Q", body, 8 + one * 16)
            self._forget(number, body[16 + one * 16 :])

    # What they are like

    def _found(self, number: int, handle: int | None) -> os.stat_result:
        handle = self._removed.get(number, handle)
        if handle is not None:
            return os.fstat(handle)
        return os.stat(self._path(number), dir_fd=self._folder, follow_symlinks=False)

    def _tell_attributes(self, number: int, body: bytes) -> bytes:
        flags, _unused, handle = struct.unpack_from("=IIQ", body)
        return _VALID.pack(0, 0, 0) + _attributes(self._found(number, handle if flags & 1 else None))

    def _set_attributes(self, number: int, body: bytes) -> bytes:
        valid, _, handle, size, _, atime, mtime, _, *rest = _SETTING.unpack_from(body)
        atime_part, mtime_part, _, mode, _, uid, gid, _ = rest
        opened = handle if valid & _FH else None
        if valid & (_UID | _GID):
            owner = uid if valid & _UID else -1, gid if valid & _GID else -1
            os.chown(self._path(number), *owner, dir_fd=self._folder, follow_symlinks=False)
        if valid & _MODE:
            os.chmod(self._path(number), stat.S_IMODE(mode), dir_fd=self._folder)
        if valid & _SIZE:
            self._truncate(number, opened, size)
        if valid & (_ATIME | _MTIME):
            before = self._found(number, opened)
            times = (
                _time(valid & _ATIME, valid & _ATIME_NOW, atime * _SECOND + atime_part, before.st_atime_ns),
                _time(valid & _MTIME, valid & _MTIME_NOW, mtime * _SECOND + mtime_part, before.st_mtime_ns),
            )
            os.utime(self._path(number), ns=times, dir_fd=self._folder, follow_symlinks=False)
        return _VALID.pack(0, 0, 0) + _attributes(self._found(number, opened))

    def _truncate(self, number: int, handle: int | None, size: int) -> None:
        if handle is not None:
            os.ftruncate(handle, size)
            return
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)

    def _statfs(self, _number: int, _body: bytes) -> bytes:
        size = 4096
        total, free = (amount // size for amount in self._space())
        below = os.fstatvfs(self._folder)
        return _STATFS.pack(total, free, free, below.f_files, below.f_ffree, size, below.f_namemax, size, 0)

    # What makes and removes them

    def _symlink(self, number: int, body: bytes) -> bytes:
        name, target, _end = body.split(b"\0", 2)
        path = self._inner(number, name)
        os.symlink(os.fsdecode(target), path, dir_fd=self._folder)
        return self._entry(path)

    def _mknod(self, number: int, body: bytes) -> bytes:
        mode, device = struct.unpack_from("=II", body)
        path = self._inner(number, body[16:-1])
        os.mknod(path, mode, device, dir_fd=self._folder)
        return self._entry(path)

    def _mkdir(self, number: int, body: bytes) -> bytes:
        (mode,) = struct.unpack_from("=I", body)
        path = self._inner(number, body[8:-1])
        os.mkdir(path, stat.S_IMODE(mode), dir_fd=self._folder)
        return self._entry(path)

    def _unlink(self, number: int, body: bytes) -> bytes:
        path = self._inner(number, body[:-1])
        with self._dropping(path):
            os.unlink(path, dir_fd=self._folder)
        return b""

    def _rmdir(self, number: int, body: bytes) -> bytes:
        path = self._inner(number, body[:-1])
        with self._dropping(path):
            os.rmdir(path, dir_fd=self._folder)
        return b""

    def _rename(self, number: int, body: bytes, names_at: int) -> bytes:
        (folder,) = struct.unpack_from("=Q", body)
        if names_at > 8 and struct.unpack_from("=I", body, 8)[0]:  # noqa: PLR2004
            # To exchange two, or not to replace one.
            raise OSError(errno.EINVAL, "not had here")
        old_name, new_name, _end = body[names_at:].split(b"\0", 2)
        old, new = self._inner(number, old_name), self._inner(folder, new_name)
        with self._dropping(new):
            os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        for path in [one for one in self._numbers if one == old or one.startswith(f"{old}/")]:
            moved = self._numbers.pop(path)
            self._paths[moved] = new + path[len(old) :]
            self._numbers[self._paths[moved]] = moved
        return b""

    def _link(self, number: int, body: bytes) -> bytes:
        (existing,) = struct.unpack_from("=Q", body)
        path = self._inner(number, body[8:-1])
        os.link(
            self._path(existing),
            path,
            src_dir_fd=self._folder,
            dst_dir_fd=self._folder,
            follow_symlinks=False,
        )
        return self._entry(path)

    # What is in them

    def _open(self, number: int, body: bytes) -> bytes:
        (flags,) = struct.unpack_from("=I", body)
        descriptor = os.open(self._path(number), flags & ~_NOT_OURS | os.O_CLOEXEC, dir_fd=self._folder)
        return _OPENED.pack(descriptor, 0, 0)

    def _create(self, number: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("=II", body)
        path = self._inner(number, body[16:-1])
        wanted = flags & ~_NOT_OURS | flags & (os.O_EXCL | os.O_TRUNC) | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, wanted, stat.S_IMODE(mode), dir_fd=self._folder)
        return self._entry(path) + _OPENED.pack(descriptor, 0, 0)

    def _read(self, _number: int, body: bytes) -> bytes:
        handle, offset, size, *_rest = _TRANSFER.unpack_from(body)
        return os.pread(handle, size, offset)

    def _write(self, _number: int, body: bytes) -> bytes:
        handle, offset, size, *_rest = _TRANSFER.unpack_from(body)
        written = os.pwrite(handle, memoryview(body)[_TRANSFER.size : _TRANSFER.size + size], offset)
        return struct.pack("=II", written, 0)

    def _allocate(self, _number: int, body: bytes) -> bytes:
        handle, offset, length, mode = struct.unpack_from("=QQQI", body)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "only to have room for what will be written")
        os.posix_fallocate(handle, offset, length)
        return b""

    def _seek(self, _number: int, body: bytes) -> bytes:
        handle, offset, whence = struct.unpack_from("=QQI", body)
        return struct.pack("=Q", os.lseek(handle, offset, whence))

    def _fsync(self, _number: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("=Q", body)
        os.fsync(handle)
        return b""

    def _release(self, _number: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("=Q", body)
        os.close(handle)
        return b""

    def _open_folder(self, number: int, _body: bytes) -> bytes:
        descriptor = os.open(
            self._path(number), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder
        )
        with os.scandir(descriptor) as found:
            inner = [(one.inode(), _kind(one), os.fsencode(one.name)) for one in found]
        here = os.fstat(descriptor).st_ino
        folder = stat.S_IFDIR
        self._listings[descriptor] = [(here, folder, b"."), (here, folder, b".."), *inner]
        return _OPENED.pack(descriptor, 0, 0)

    def _read_folder(self, _number: int, body: bytes) -> bytes:
        handle, offset, size, *_rest = _TRANSFER.unpack_from(body)
        told = b""
        for place, (inode, kind, name) in enumerate(self._listings[handle][offset:], offset + 1):
            entry = _DIRENT.pack(inode, place, len(name), kind >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(told) + len(entry) > size:
                break
            told += entry
        return told

    def _release_folder(self, number: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("=Q", body)
        self._listings.pop(handle, None)
        return self._release(number, body)

    def _begin(self, _number: int, body: bytes) -> bytes:
        major, minor, ahead, _flags = struct.unpack_from("=IIII", body)
        if (major, minor) < (_MAJOR, _MINOR):
            raise OSError(errno.EPROTO, f"the kernel speaks FUSE {major}.{minor} only")
        big_writes = 1 << 5
        return struct.pack("=IIIIHHIIHH32x", _MAJOR, _MINOR, ahead, big_writes, 0, 0, _MOST, 1, 0, 0)


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    return stat.S_IFDIR if entry.is_dir() else stat.S_IFREG


def _attributes(found: os.stat_result) -> bytes:
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return _ATTRIBUTES.pack(
        found.st_ino,
        found.st_size,
        found.st_blocks,
        *(one // _SECOND for one in times),
        *(one % _SECOND for one in times),
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_rdev,
        found.st_blksize,
        0,
    )


def _time(is_given: int, is_now: int, given: int, before: int) -> int:
    """Return a time in nanoseconds: one that is given, that of now, or the one that it had before."""
    if not is_given:
        return before
    return time.time_ns() if is_now else given
