"""Keep what runs below a keeper away from the host: done by the keeper to itself, before all else.

Ganeti as root would reboot the machine, set addresses and write to `/etc`. As root, the keeper therefore
gives up every capability that a virtual node does not need and hides the host's control files in a mount
namespace of its own. As any user, it forgoes setuid programs (`PR_SET_NO_NEW_PRIVS`). What the kernel
refuses is reported, not hidden.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from pathlib import Path
from typing import Callable

import attrs

# <linux/prctl.h>
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

# <linux/sched.h>, <linux/mount.h>
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18

# <linux/capability.h>
_CAPABILITY_VERSION_3 = 0x20080522
_KEPT = {
    0: "CHOWN",
    1: "DAC_OVERRIDE",
    3: "FOWNER",
    4: "FSETID",
    5: "KILL",
    6: "SETGID",  # sshd
    7: "SETUID",  # sshd
    10: "NET_BIND_SERVICE",
    14: "IPC_LOCK",  # noded locks its memory
    18: "SYS_CHROOT",  # sshd
    29: "AUDIT_WRITE",  # sshd
}
_LAST_CAPABILITY = 63

#: noded closes every descriptor up to the soft limit when it starts: a high one costs it minutes.
_MOST_DESCRIPTORS = 8192


@attrs.define
class Guard:
    """What was done to keep the host safe, and what could not be (with the kernel's reason)."""

    done: list[str] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)

    def attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Do one step and write down how it went."""
        try:
            step()
        except OSError as error:
            self.refused.append(f"{what}: {error}")
            return False
        self.done.append(what)
        return True


def become_subreaper() -> None:
    """Let every orphan below us become our child. Raises `OSError`."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def limit_descriptors() -> None:
    """Set the soft limit of open files that children inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def guard_host(root: Path) -> Guard:
    """Shut ourselves, and so everything that we start, off from the host; what came of it."""
    guard = Guard()
    if os.geteuid() == 0:
        if guard.attempt("mount namespace of its own", lambda: _unshare(_CLONE_NEWNS)):
            _hide_host(guard, root)
        _drop_capabilities(guard)
    guard.attempt("no new privileges", lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1))
    return guard


def _hide_host(guard: Guard, root: Path) -> None:
    if not guard.attempt("mounts are private", lambda: _mount("none", "/", "", _MS_REC | _MS_PRIVATE)):
        # What we mounted now would show on the host.
        return
    real_root = Path(os.path.realpath(root))
    if real_root.is_relative_to("/run"):
        guard.refused.append(f"private /run: the cluster's root {root} lies in it")
    else:
        guard.attempt("private /run", _private_run)
    if Path("/proc/sysrq-trigger").exists():
        guard.attempt(
            "no /proc/sysrq-trigger", lambda: _mount("/dev/null", "/proc/sysrq-trigger", "", _MS_BIND)
        )
    for folder in ("/etc", "/proc/sys", "/sys"):
        if real_root.is_relative_to(folder):
            guard.refused.append(f"read-only {folder}: the cluster's root {root} lies in it")
        elif Path(folder).is_dir():
            guard.attempt(f"read-only {folder}", lambda folder=folder: _read_only(folder))  # type: ignore[misc]


def _private_run() -> None:
    _mount("tmpfs", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=16m")
    # sshd run by root needs it and refuses to make it.
    Path("/run/sshd").mkdir(mode=0o755)
    Path("/run/lock").mkdir(mode=0o1777)
    Path("/run/lock").chmod(0o1777)


def _read_only(folder: str) -> None:
    _mount(folder, folder, "", _MS_BIND | _MS_REC)
    # A bind keeps flags that the original has; a remount that would clear a locked one is refused.
    kept = 0
    flags = os.statvfs(folder).f_flag
    for mount_flag, vfs_flag in (
        (_MS_NOSUID, os.ST_NOSUID),
        (_MS_NODEV, os.ST_NODEV),
        (_MS_NOEXEC, os.ST_NOEXEC),
    ):
        if flags & vfs_flag:
            kept |= mount_flag
    _mount("none", folder, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)


def _drop_capabilities(guard: Guard) -> None:
    def bounding() -> None:
        for number in range(_LAST_CAPABILITY + 1):
            if number not in _KEPT and _prctl_value(_PR_CAPBSET_READ, number) == 1:
                _prctl(_PR_CAPBSET_DROP, number)

    def own() -> None:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
        state = ctypes.create_string_buffer(24)
        _check(_libc().capget(header, state), "capget")
        values = list(struct.unpack("=6I", state.raw[:24]))
        kept = sum(1 << number for number in _KEPT)
        for index in range(6):
            # Two rows (low and high 32 bits) of effective, permitted, inheritable.
            word = kept & 0xFFFFFFFF if index < 3 else kept >> 32  # noqa: PLR2004
            values[index] = 0 if index % 3 == 2 else values[index] & word  # noqa: PLR2004
        _check(_libc().capset(header, ctypes.create_string_buffer(struct.pack("=6I", *values))), "capset")

    what = "no capabilities but " + ", ".join(_KEPT.values())
    guard.attempt(f"for what it starts: {what}", bounding)
    guard.attempt(f"for itself: {what}", own)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl_value(option: int, argument: int) -> int:
    return int(_libc().prctl(*(ctypes.c_ulong(value) for value in (option, argument, 0, 0, 0))))


def _prctl(option: int, argument: int) -> None:
    _check(_prctl_value(option, argument), f"prctl({option}, {argument})")


def _unshare(flags: int) -> None:
    _check(_libc().unshare(flags), "unshare")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc().mount(
            source.encode(),
            target.encode(),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {target}",
    )
