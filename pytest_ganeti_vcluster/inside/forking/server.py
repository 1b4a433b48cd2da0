"""The fork server: one process with Ganeti loaded, which forks a guard for each client."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback

from . import imitation, wire
from .ending import run_to_end
from .guard import guard
from .preloading import Preloaded, preload

_BACKLOG = 1024


def main() -> None:
    """Serve until ended; in a forked program, run that. Ends with status 1 where Ganeti cannot be loaded."""
    began = time.monotonic()
    path = os.environ[wire.VARIABLE]
    # Clients wait in the queue from now on.
    listener = _listen(path)
    imitation.set_name(b"fork-server")
    try:
        preloaded = preload()
    except Exception:  # noqa: BLE001  programs run without us then, and the boot tells
        traceback.print_exc()
        os.unlink(path)
        sys.exit(1)
    print(  # noqa: T201  it is the log
        f"{len(sys.modules)} modules are loaded, {len(preloaded)} places to change in each program,"
        f" after {time.monotonic() - began:.3f} s",
        flush=True,
    )
    program = _serve(listener, preloaded)
    run_to_end(program)


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Whoever finds it by its name can connect, and nobody finds it with other rights.
    unfinished = path + ".new"
    # One that was killed has left it.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)
    listener.bind(unfinished)
    os.chmod(unfinished, 0o600)
    listener.listen(_BACKLOG)
    os.rename(unfinished, path)
    return listener


def _reap(_number: int, _frame: object) -> None:
    """Wait for all guards that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve(listener: socket.socket, preloaded: Preloaded) -> str:
    """Fork a guard for each client, for ever. Returns in a forked program only: what that is to run."""
    keeper = os.getppid()
    # Nobody needs to know how guards end. They are waited for nevertheless, not ignored: so the kernel adds up in us
    # what CPU time all forked programs that have ended took (proc(5), cutime).
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            # The client has gone already, or there is no descriptor left; it is asked again.
            time.sleep(0.01)
            continue
        try:
            pid = os.fork()
        except OSError as error:
            # The client runs the program itself, if it can.
            print("cannot fork:", error, file=sys.stderr, flush=True)  # noqa: T201  it is the log
            pid = -1
        if pid == 0:
            listener.close()
            return guard(connection, preloaded, keeper).program
        connection.close()
