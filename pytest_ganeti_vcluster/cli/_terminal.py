"""Commands on nodes that have our input and output: our terminal, where we have one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cli import _controlling
from pytest_ganeti_vcluster.errors import CommandFailed

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.ganeti.commands import NodeShell

_STANDARD = (0, 1, 2)
_CHUNK = 65536

#: What shells say of a command that a signal has ended: this and its number.
_BY_SIGNAL = 128


def has_terminal() -> bool:
    """Whether somebody types to us, and reads what we say, on a terminal."""
    return os.isatty(0) and os.isatty(1)


def run_here(shell: NodeShell, *argv: str) -> int:
    """Run a command on a node with our input and output, and return its exit status as shells give it.

    It is the cluster's: it ends with it, and when we go. On a terminal it has one of its own, which is shown on ours.
    """
    try:
        status = (
            _on_terminal(shell, argv) if has_terminal() else shell.run_connected(*argv, descriptors=_STANDARD)
        )
    except CommandFailed as error:
        sys.stderr.write(f"{error.result.stderr}\n")
        return int(error.result.returncode)
    return status if status >= 0 else _BY_SIGNAL - status


def _on_terminal(shell: NodeShell, argv: tuple[str, ...]) -> int:
    ours, theirs = pty.openpty()
    end, ending = os.pipe()
    results: list[int | BaseException] = []

    def run() -> None:
        try:
            through = (sys.executable, "-IS", _controlling.__file__)
            results.append(
                shell.run_connected(*argv, descriptors=(theirs,) * 3, env=_environment(), through=through)
            )
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            results.append(error)
        os.close(ending)

    with contextlib.ExitStack() as stack:
        for descriptor in (ours, theirs, end):
            stack.callback(os.close, descriptor)
        _follow_size(ours)
        before = signal.signal(signal.SIGWINCH, lambda *_: _follow_size(ours))
        stack.callback(signal.signal, signal.SIGWINCH, before)
        stack.enter_context(_raw())
        # If we are ended it goes with us, and with the connection that it holds what it waits for.
        threading.Thread(target=run, name="command", daemon=True).start()
        _pass_on(ours, end)
    [result] = results
    if isinstance(result, BaseException):
        raise result
    return result


def _environment() -> Mapping[str, str]:
    names = ("TERM", "COLORTERM")
    return {name: os.environ[name] for name in names if name in os.environ}


def _follow_size(terminal: int) -> None:
    """Have a terminal be as large as ours."""
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Have our terminal pass on every key as it is: what keys mean is for the other one to say."""
    before = termios.tcgetattr(0)
    ending = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in ending:
        signal.signal(number, _end)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        for number, handler in ending.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(_BY_SIGNAL + number)


def _pass_on(terminal: int, end: int) -> None:
    """Pass on what is typed, and what is to be shown, until `end` has come, and all that was to be shown."""
    sources = [terminal, 0, end]
    while True:
        # What it has written is there when its end comes.
        ready, _, _ = select.select(sources, [], [], None if end in sources else 0)
        if end in ready:
            sources = [terminal]
        elif 0 in ready and not _copy(0, terminal):
            sources.remove(0)
        if terminal in ready:
            if not _copy(terminal, 1):
                sources.remove(terminal)
        elif end not in sources and not ready:
            return


def _copy(source: int, target: int) -> bool:
    """Pass on what there is; whether there can be more."""
    try:
        data = os.read(source, _CHUNK)
    except OSError:
        return False
    while data:
        data = data[os.write(target, data) :]
        if not data:
            return True
    return False
