"""A process that obtains an image, and tells line by line what happens to it.

As a program: arguments are the store's folder, the seconds of its patience and the source folder. It prints
`making` when it makes the image, and then reads a line from standard input before it goes on; `told TEXT` for what
it is told; `got FOLDER` in the end, or `error CLASS: TEXT`.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.images.store import ImageStore
from tests.images.samples import KEY, capture

#: Seconds in which any step is done, on a machine that does much else.
PATIENCE = 60.0


@attrs.define(eq=False)
class User:
    """Such a process, as the test sees it."""

    process: subprocess.Popen[bytes]
    _rest: bytes = b""

    def next_line(self, within: float = PATIENCE) -> str:
        """Wait for the next line that it prints; an assertion fails where there is none in so many seconds."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "it printed nothing"
            data = os.read(self.process.stdout.fileno(), 4096)
            assert data, f"it ended with {self.process.wait()}"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def last_line(self) -> str:
        """Wait until it has got the image, or failed to; what it printed then."""
        while (line := self.next_line()).startswith("told "):
            pass
        return line

    def go_on(self) -> None:
        """Let it make the image."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill it if it is still there."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@attrs.define
class StartUser:
    """Starts such processes, all for the same image."""

    store: ImageStore
    source: Path
    users: list[User] = attrs.field(factory=list)

    def __call__(self, patience: float = PATIENCE) -> User:
        arguments = [str(self.store.folder), str(patience), str(self.source)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.images.user_process", *arguments],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        user = User(process)
        self.users.append(user)
        return user


def main() -> None:
    folder, patience, source = sys.argv[1:]
    store = ImageStore(Path(folder), limit=1 << 30, patience=float(patience))

    def make(target: Path) -> None:
        print("making", flush=True)
        sys.stdin.readline()
        capture(Path(source), target)

    try:
        print("got", store.obtain(KEY, make, lambda text: print("told", text, flush=True)), flush=True)
    except VClusterError as error:
        print(f"error {type(error).__name__}:", str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
