"""Making a forked process into what the client would have become: all that a program inherits when it is started."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import os
import posix
import resource
import signal
import struct
import sys
import time
from typing import Any, Callable

from .request import CannotImitate, Request

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_MM = 35
_PR_SET_MM_MAP = 14

#: Limits that come into effect as soon as they are set: descriptors are put into their places before.
_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})

#: What Python ignores in any case.
_IGNORED_BY_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})

_libc = ctypes.CDLL(None, use_errno=True)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.sbrk.restype = ctypes.c_void_p
_libc.sbrk.argtypes = [ctypes.c_ssize_t]


def imitate(request: Request, client: int, kept: frozenset[int], to_guard: int) -> int:
    """Make this process what process `client` would have become, but for its signals.

    `kept` are descriptors that stay open; so does `to_guard`, whose new number is returned. Raises `CannotImitate` or
    `OSError`.
    """
    guard = os.getppid()
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        raise CannotImitate("its guard has gone")
    if request.leads_session:
        os.setsid()
    elif request.leads_group:
        os.setpgid(0, 0)
    to_guard = _place_descriptors(request, kept, to_guard)
    os.umask(request.umask)
    _set_limits(client)
    if request.nice != os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, request.nice)
    if request.cpus != os.sched_getaffinity(0):
        os.sched_setaffinity(0, request.cpus)
    _set_environment(request.environment)
    sys.argv = request.argv[1:]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = list(request.argv)
    set_name(request.name)
    _set_command_line(request)
    return to_guard


def set_signals(request: Request) -> None:
    """Give every signal the disposition that a fresh interpreter gives it, then let them in."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        wanted: Any = signal.SIG_DFL
        if number in request.ignored or number in _IGNORED_BY_PYTHON:
            wanted = signal.SIG_IGN
        elif number == signal.SIGINT:
            wanted = signal.default_int_handler
        if signal.getsignal(number) is not wanted:
            # Some belong to the C library.
            with contextlib.suppress(OSError):
                signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)


def prctl(option: int, *arguments: Any) -> None:
    """Set something of this process, see the manual of prctl; raises `OSError`."""
    filled = [*arguments, 0, 0, 0, 0][:4]
    words = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in filled]
    if _libc.prctl(option, *words):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def set_name(name: bytes) -> None:
    """Set the name of this process, which the kernel shortens to 15 bytes."""
    prctl(_PR_SET_NAME, ctypes.c_char_p(name))


def _place_descriptors(request: Request, kept: frozenset[int], to_guard: int) -> int:
    """Give the program's descriptors their numbers, and close all others; return the new number of `to_guard`."""
    if not kept.isdisjoint(request.descriptors):
        raise CannotImitate("one of its descriptors has a number that is taken")
    above = max(2, *request.descriptors, *kept) + 1
    to_guard = fcntl.fcntl(to_guard, fcntl.F_DUPFD_CLOEXEC, above)
    moved = {
        number: fcntl.fcntl(received, fcntl.F_DUPFD_CLOEXEC, above)
        for number, received in request.descriptors.items()
    }
    os.fchdir(request.folder)
    for number, descriptor in moved.items():
        os.dup2(descriptor, number, inheritable=True)
    for entry in os.listdir("/proc/self/fd"):
        number = int(entry)
        if number not in request.descriptors and number not in kept and number != to_guard:
            with contextlib.suppress(OSError):
                os.close(number)
    return to_guard


def _set_limits(client: int) -> None:
    for limit in _LIMITS:
        wanted = resource.prlimit(client, limit)
        if wanted != resource.getrlimit(limit):
            resource.setrlimit(limit, wanted)


def environment_holders() -> list[Any]:
    """Return what this interpreter keeps its environment in, which `imitate` replaces as a whole."""
    return [os.environ, vars(os.environ), vars(os.environ)["_data"], posix.environ]


def _set_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    posix.environ.clear()
    posix.environ.update((os.fsencode(key), os.fsencode(value)) for key, value in environment.items())
    time.tzset()


def make_streams(encodings: dict[str, tuple[str, str]]) -> dict[str, io.TextIOWrapper | None]:
    """Open stdin, stdout and stderr as an interpreter does at its start; None for one that is closed.

    `encodings` has encoding and error handling of each. Python/pylifecycle.c, create_stdio.
    """
    streams: dict[str, io.TextIOWrapper | None] = {}
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            streams[name] = None
            continue
        binary: Any = open(number, mode + "b", closefd=False)  # noqa: SIM115  it stays open
        binary.raw.name = f"<{name}>"
        encoding, errors = encodings[name]
        stream = io.TextIOWrapper(
            binary, encoding, errors, newline="\n", line_buffering=name == "stderr" or binary.raw.isatty()
        )
        stream.mode = mode  # type: ignore[misc]
        streams[name] = stream
    return streams


class _Memory:
    """Where the kernel has this process's parts: /proc/PID/stat, fields by their numbers in proc(5)."""

    def __init__(self) -> None:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
        field: Callable[[int], int] = lambda number: int(fields[number - 3])  # noqa: E731
        self.code = (field(26), field(27))
        self.data = (field(45), field(46))
        self.heap = field(47)
        self.stack = field(28)


def _set_command_line(request: Request) -> None:
    """Have the kernel show the program's arguments and environment in /proc/PID; where it can, since Linux 3.18."""
    words = [os.fsencode(word) + b"\0" for word in request.argv]
    variables = [os.fsencode(f"{key}={value}") + b"\0" for key, value in request.environment.items()]
    arguments = sum(map(len, words))
    text = b"".join(words + variables)
    # Never given back: the kernel reads it for as long as there is the process.
    address = _libc.malloc(len(text) + 1)
    ctypes.memmove(address, text, len(text))
    memory = _Memory()
    # struct prctl_mm_map: no auxiliary vector, the same executable
    where = struct.pack(
        "=12QIi",
        *memory.code,
        *memory.data,
        memory.heap,
        _libc.sbrk(0),
        memory.stack,
        address,
        address + arguments,
        address + arguments,
        address + len(text),
        0,
        0,
        -1,
    )
    # A kernel without checkpoint and restore cannot; then /proc shows the server's.
    with contextlib.suppress(OSError):
        prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.c_char_p(where), len(where))
