"""A terminal that somebody types at and reads."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType

#: Seconds in which what is waited for has to be shown.
_TIMEOUT = 60.0


class Terminal:
    """Runs a command on a terminal of so many rows and columns; ended at the end of a `with`."""

    def __init__(
        self, argv: Sequence[str], env: dict[str, str], *, rows: int = 40, columns: int = 150
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            argv,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**env, "TERM": "xterm"},
            start_new_session=True,
        )
        #: All that was shown so far.
        self.seen = ""
        self._from = 0

    def __enter__(self) -> Terminal:  # noqa: PYI034  typing.Self comes with Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(_TIMEOUT)
        os.close(self._ours)
        os.close(self._theirs)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self) -> list[object]:
        return termios.tcgetattr(self._theirs)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Return what was shown since the last time, as soon as `text` is in it."""
        deadline = time.monotonic() + _TIMEOUT
        while (found := self.seen.find(text, self._from)) < 0:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen!r}"
            self._read(0.1)
        shown = self.seen[self._from : found + len(text)]
        self._from = found + len(text)
        return shown

    def wait_ended(self) -> int:
        """Return the exit status of the command, when it has ended."""
        deadline = time.monotonic() + _TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read(0.05)
        self._read(0)
        return self.process.returncode

    def _read(self, timeout: float) -> None:
        if select.select([self._ours], [], [], timeout)[0]:
            self.seen += os.read(self._ours, 65536).decode(errors="replace")
