"""The client: asks the fork server to run a program in our place, and ends as it ended.

Its start is what a forked program costs most, so it imports modules only that are built into the interpreter
(`posix` instead of `os`, `_socket` instead of `socket`), and is run with `-IS`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import fcntl
import posix
import sys
import time

from . import wire

#: Seconds that the server has to take a program; it may be loading Ganeti. After that we run it ourselves.
_PATIENCE = 10.0

#: Seconds that the guard may take to end when its program has.
_PARTING = 1.0

_HEADER = 4
_ALL_SIGNALS = _signal.valid_signals()
#: Sent by the kernel to us, not to the program: the socket can be read from, a child of ours has ended.
_OURS = (_signal.SIGIO, _signal.SIGCHLD)


def enter(program: str, python: str, plain: str) -> None:
    """Run a program of Ganeti in place of the stub that we are, forked if that can be; does not return.

    `python` is the installation's interpreter; `plain` runs the program without the server.
    """
    run_forked(sys.argv[0], program, [python, *sys.argv], _own_name(), posix.environ)
    posix.execv(plain, [plain, *sys.argv[1:]])


def enter_job(marker: str, stub: str, program: str, python: str) -> None:
    """Where this Python was started by luxid to run a job, have that forked; else, or if it cannot be, return.

    A job is started as a Python with a path that ends in `marker` (src/Ganeti/Query/Exec.hs).
    """
    arguments = _own_arguments()
    if len(arguments) > 1 and arguments[1].endswith(marker):
        # luxid's PYTHONPATH names the folder that was compiled into it.
        environment = {key: value for key, value in posix.environ.items() if key != b"PYTHONPATH"}
        name = python.rpartition("/")[2].encode()
        run_forked(stub, program, [python, stub, *arguments[2:]], name, environment)


def run_forked(
    stub: str, program: str, argv: list[str], name: bytes, environment: dict[bytes, bytes]
) -> None:
    """Have `program` forked, wait for its end and end alike; return where it must be run in another way.

    `argv` is its whole command line, `name` its name as a process, `environment` all of its variables.
    """
    path = environment.get(wire.VARIABLE.encode())
    if not path or _on_terminal():
        return
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL_SIGNALS)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE)
        # First of all: the server forks while we gather the rest.
        connection.connect(path)
        descriptors = _inherited()
        request = {
            "stub": _bytes(stub),
            "program": _bytes(program),
            "argv": [_bytes(argument) for argument in argv],
            "name": name,
            "environment": list(environment.items()),
        }
        _send_with_folder(connection, {**request, **inheritance(before)}, descriptors)
        answer = connection.recv(wire.ANSWER)
        taken = answer[:1] == wire.READY
        if taken:
            connection.setblocking(False)
            fcntl.fcntl(connection, fcntl.F_SETOWN, posix.getpid())
            flags = fcntl.fcntl(connection, fcntl.F_GETFL)
            fcntl.fcntl(connection, fcntl.F_SETFL, flags | fcntl.FASYNC)
            connection.send(wire.GO)
    except (OSError, ValueError):
        # Whatever it is, we can still run it.
        taken = False
    if not taken:
        connection.close()
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        return
    # Who reads what the program writes waits for the last one who could.
    for descriptor in descriptors:
        posix.close(descriptor)
    _end(_wait(connection, wire.unpack_numbers(answer[1:])[0]))


def _on_terminal() -> bool:
    """Whether job control, or somebody's keys, may reach us."""
    try:
        posix.close(posix.open("/dev/tty", posix.O_RDONLY | posix.O_CLOEXEC))
    except OSError:
        return any(map(posix.isatty, (0, 1, 2)))
    return True


def _inherited() -> list[int]:
    """Descriptors that were open when we were started: ours are not inherited by programs that we would start."""
    found = []
    for entry in posix.listdir("/proc/self/fd"):
        try:
            if posix.get_inheritable(int(entry)):
                found.append(int(entry))
        except OSError:
            continue
    if len(found) > wire.MOST_DESCRIPTORS:
        raise ValueError
    return found


def _own_arguments() -> list[str]:
    # Python 3.9 does not tell, and sys.argv is not there before the script is.
    with open("/proc/self/cmdline", encoding=sys.getfilesystemencoding(), errors="surrogateescape") as stream:
        return stream.read().split("\0")[:-1]


def _own_name() -> bytes:
    descriptor = posix.open("/proc/self/comm", posix.O_RDONLY | posix.O_CLOEXEC)
    name = posix.read(descriptor, 64)
    posix.close(descriptor)
    return name.rstrip(b"\n")


def _bytes(text: str) -> bytes:
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def inheritance(blocked: set[int]) -> dict[str, object]:
    """What a program that we would start inherits of us, beside descriptors and environment."""
    umask = posix.umask(0o077)
    posix.umask(umask)
    leads_session = posix.getsid(0) == posix.getpid()
    return {
        "umask": umask,
        "ignored": [int(number) for number in _ALL_SIGNALS if _signal.getsignal(number) == _signal.SIG_IGN],
        "blocked": [int(number) for number in blocked],
        "nice": posix.getpriority(posix.PRIO_PROCESS, 0),
        "cpus": list(posix.sched_getaffinity(0)),
        "scheduler": posix.sched_getscheduler(0),
        "groups": posix.getgroups(),
        "surroundings": surroundings(),
        "leads_session": leads_session,
        "leads_group": leads_session or posix.getpgrp() == posix.getpid(),
    }


def _send_with_folder(connection: _socket.socket, request: dict[str, object], descriptors: list[int]) -> None:
    folder = posix.open(".", posix.O_PATH | posix.O_CLOEXEC)
    try:
        send(connection, {**request, "descriptors": descriptors}, [*descriptors, folder])
    finally:
        posix.close(folder)


def send(connection: _socket.socket, request: dict[str, object], descriptors: list[int]) -> None:
    """Send a request, with the descriptors that the program is to have, and last its working directory's."""
    data = wire.pack_request(request)
    rights = wire.pack_numbers(*descriptors)
    sent = connection.sendmsg([data[:_HEADER]], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    connection.sendall(data[sent:])


def surroundings() -> list[tuple[int, int]]:
    """Device and inode of the root folder and of each namespace: equal in processes that see the same machine."""
    found = []
    for path in ("/", *["/proc/self/ns/" + kind for kind in ("mnt", "net", "pid", "user", "uts", "ipc")]):
        try:
            status = posix.stat(path)
        except OSError:
            # The kernel has no such namespace.
            continue
        found.append((status.st_dev, status.st_ino))
    return found


def _wait(connection: _socket.socket, guard: int) -> int:
    """Pass signals on until the program has ended; its status, or -1 where the guard has gone without telling."""
    while True:
        try:
            data = connection.recv(wire.STATUS)
            if len(data) != wire.STATUS:
                return -1
            outlive(guard)
            return int(wire.unpack_numbers(data)[0])
        except BlockingIOError:
            pass
        except OSError:
            return -1
        signal = _signal.sigwaitinfo(_ALL_SIGNALS)
        if signal.si_signo in _OURS and signal.si_code > 0:
            continue
        try:
            connection.send(wire.pack_numbers(signal.si_signo, signal.si_pid))
        except OSError:
            continue


def outlive(guard: int) -> None:
    """Wait until the guard is gone: who looks at the processes when we have ended is to find nothing of ours."""
    deadline = time.monotonic() + _PARTING
    try:
        while time.monotonic() < deadline:
            posix.kill(guard, 0)
            time.sleep(0.0005)
    except OSError:
        return


def _end(status: int) -> None:
    """End with a status as `wait` gave it."""
    if status == -1:
        # Nobody knows how far it has come: as if it had been killed.
        status = _signal.SIGKILL
    if posix.WIFEXITED(status):
        posix._exit(posix.WEXITSTATUS(status))
    number = posix.WTERMSIG(status)
    if number != _signal.SIGKILL:
        import resource

        # If there is a core to be had, it is the program's.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [number])
    posix.kill(posix.getpid(), number)
    posix._exit(128 + number)
