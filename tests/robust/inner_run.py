"""A run of pytest in a process of its own that tells what it is at."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

#: Seconds in which any step of an inner run is done, on a machine that does much else.
PATIENCE = 180.0


@attrs.define(eq=False)
class InnerRun:
    """An inner run of pytest: its process, and what it reports."""

    process: subprocess.Popen[bytes]
    output: Path
    _pipe: int
    _pending: list[list[str]] = attrs.field(factory=list)
    _rest: bytes = b""

    @classmethod
    def start(cls, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> InnerRun:
        """Run pytest in a folder, in this environment added to ours."""
        reports = folder / "reports"
        reports.unlink(missing_ok=True)
        os.mkfifo(reports)
        output = folder / "output"
        # For reading and writing: it never ends, and a writer never waits for us.
        pipe = os.open(reports, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **plain_environment(),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "INNER_REPORTS": str(reports),
                    **environment,
                },
            )
        return cls(process, output, pipe)

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_report(self, *words: str) -> list[str]:
        """Wait until it reports a line that begins with these words; the words of that line."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while self._pending:
                line = self._pending.pop(0)
                if line[: len(words)] == list(words):
                    return line
            ready, _, _ = select.select([self._pipe], [], [], 0.1)
            if ready:
                self._hear()
            elif self.process.poll() is not None:
                raise AssertionError(f"the run ended before it reported {words}:\n{self.text}")
            assert time.monotonic() < deadline, f"the run did not report {words}:\n{self.text}"

    def _hear(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._pipe, 65536)).split(b"\n")
        self._pending += [line.decode().split("\t") for line in lines]

    def is_over(self, within: float) -> bool:
        """Whether it ends in so many seconds: that is how one waits for a while, and no longer than it makes sense."""
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it by SIGKILL, if it runs, and reap it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._pipe)
        self._pipe = -1


def plain_environment() -> dict[str, str]:
    """Ours, without what an outer run of pytest or of a cluster has put there."""
    ours = ("PYTEST_", "VCLUSTER_", "NSS_WRAPPER_", "GANETI_", "COV_")
    kept = ("VCLUSTER_GANETI", "VCLUSTER_ENGINE", "PYTEST_DEBUG_TEMPROOT")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(ours)}
