"""The guard of one program: forked by the server for one client, it checks, starts and watches the program."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from typing import NoReturn

from . import imitation, wire
from .preloading import Preloaded
from .request import CannotImitate, Request

#: What a keeper and a terminal send to all; the program gets its own from them, and the guard stays until it has ended.
_NOT_FOR_US = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

#: Seconds between two looks at who is left of what has to be ended, and how long that may take.
_PAUSE = 0.02
_ENDING_BOUND = 5.0

_OK = b"+"


def guard(connection: socket.socket, preloaded: Preloaded, keeper: int) -> Request:
    """Serve one client, in a process forked for it. Returns in the program's process only, when that is to run.

    `keeper` is the pid of who ends all that a client has left when it asks the client to end.
    """
    imitation.set_name(b"fork-guard")
    os.setsid()
    # So that what a program starts has the same children as ever: see `wait` for what is used here.
    wakeup = _watch_children()
    ours, theirs = socket.socketpair()
    everything = signal.valid_signals()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    # At once, while the client still gathers what to ask for.
    program = os.fork()
    if program == 0:
        return _become(connection, theirs, preloaded, guards=(ours, wakeup))
    theirs.close()
    for number in _NOT_FOR_US:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    answer = ours.recv(4096)
    if answer != _OK:
        os.waitpid(program, 0)
        _refuse(connection, answer.decode(errors="replace") or "it could not be prepared")
    _Watch(connection, program, keeper, wakeup).start(ours)
    os._exit(0)


def _refuse(connection: socket.socket, why: str) -> NoReturn:
    print("not forked:", why, file=sys.stderr, flush=True)  # noqa: T201  it is the log
    with contextlib.suppress(OSError):
        connection.sendall(wire.REFUSED)
    os._exit(0)


def _watch_children() -> socket.socket:
    """Return what can be read from when a child has ended."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading


def _become(
    connection: socket.socket,
    to_guard: socket.socket,
    preloaded: Preloaded,
    guards: tuple[socket.socket, ...],
) -> Request:
    """Become the program that the client asks for, up to its first line, when the guard says so.

    Ends where that cannot be. `guards` are sockets that the guard has for itself.
    """
    client = _peer(connection)
    signal.set_wakeup_fd(-1)
    keep = to_guard.detach()
    try:
        request = Request.receive(connection)
        request.check(connection, preloaded.cluster_root)
        for one in (connection, *guards):
            # Their numbers will be others' soon: nothing may close them then.
            os.close(one.detach())
        keep = imitation.imitate(request, client, preloaded.kept, keep)
        preloaded.move(request.environment["GANETI_HOSTNAME"], request.stub)
        os.write(keep, _OK)
    except BaseException as error:  # noqa: BLE001  whatever it is, the client can run the program itself
        with contextlib.suppress(OSError):
            os.write(keep, _reason(error).encode(errors="replace")[:4000])
        os._exit(1)
    if os.read(keep, 1) != wire.GO:
        os._exit(0)
    os.close(keep)
    imitation.set_signals(request)
    return request


def _reason(error: BaseException) -> str:
    if isinstance(error, (CannotImitate, ConnectionError)):
        return str(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return wire.unpack_numbers(credentials)[0]


class _Watch:
    """The guard while its program runs."""

    def __init__(self, connection: socket.socket, program: int, keeper: int, wakeup: socket.socket) -> None:
        self._connection = connection
        self._program = program
        self._keeper = keeper
        self._wakeup = wakeup
        self._status: int | None = None
        self._ending = False
        self._known: set[tuple[int, int]] = set()

    def start(self, program_socket: socket.socket) -> None:
        """Let the program begin if the client still wants it, and stay until its end is told."""
        try:
            self._connection.sendall(wire.READY + wire.pack_numbers(os.getpid()))
            wanted = self._connection.recv(1) == wire.GO
        except OSError:
            wanted = False
        if not wanted:
            os.kill(self._program, signal.SIGKILL)
            return
        program_socket.sendall(wire.GO)
        program_socket.close()
        self._connection.setblocking(False)
        self._serve()

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._connection, select.POLLIN)
        poller.register(self._wakeup, select.POLLIN)
        while not self._has_ended():
            poller.poll(_PAUSE * 1000 if self._status is not None else None)
            with contextlib.suppress(BlockingIOError):
                while self._wakeup.recv(4096):
                    pass
            if not self._hear():
                self._kill_all()
                return
        assert self._status is not None
        with contextlib.suppress(OSError):
            self._connection.send(wire.pack_numbers(self._status))

    def _has_ended(self) -> bool:
        """Whether the program, and where the keeper is ending it all that belongs to it, has ended."""
        if self._status is None:
            if self._ending:
                # While it is there, what is below it can be told.
                self._belonging()
            pid, status = os.waitpid(self._program, os.WNOHANG)
            if pid:
                self._status = status
        return self._status is not None and not (self._ending and self._belonging())

    def _hear(self) -> bool:
        """Pass on the signals that the client got; whether the client is still there."""
        while True:
            try:
                data = self._connection.recv(wire.SIGNAL)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if len(data) < wire.SIGNAL:
                return False
            number, sender = wire.unpack_numbers(data)
            targets = {self._program} if self._status is None else set()
            if sender == self._keeper:
                # It ends a command with all that belongs to it, and cannot know that we have some of that here.
                self._ending = True
                targets |= {pid for pid, _started in self._belonging()}
            for pid in targets:
                _send(pid, number)

    def _kill_all(self) -> None:
        """End the program and all that belongs to it: its client was killed."""
        deadline = time.monotonic() + _ENDING_BOUND
        while time.monotonic() < deadline:
            left = self._belonging()
            if self._status is None:
                _send(self._program, signal.SIGKILL)
            for pid, _started in left:
                _send(pid, signal.SIGKILL)
            if self._has_ended() and not self._belonging():
                return
            time.sleep(_PAUSE)

    def _belonging(self) -> set[tuple[int, int]]:
        """Return pid and start of what is below the program or in its session, or was so once, and still runs.

        What left both before the first look is none of it: daemons do that.
        """
        processes = {one.pid: one for one in _processes()}
        sessions = {self._program, os.getpid()}
        below = {self._program} if self._status is None else set()
        grown = True
        while grown:
            more = {one.pid for one in processes.values() if one.parent in below} - below
            below |= more
            grown = bool(more)
        found = {
            (one.pid, one.started)
            for one in processes.values()
            if one.pid not in (self._program, os.getpid())
            and (one.pid in below or one.session in sessions or (one.pid, one.started) in self._known)
        }
        self._known |= found
        return found


class _Process:
    """What /proc/PID/stat says of a process."""

    def __init__(self, pid: int, fields: list[str]) -> None:
        self.pid = pid
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.started = int(fields[19])


def _processes() -> Iterator[_Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stream:
                    fields = stream.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                yield _Process(int(entry), fields)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
