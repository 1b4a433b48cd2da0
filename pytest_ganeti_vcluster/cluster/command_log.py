"""The commands that were run on a cluster's nodes through one handle of it, for who asks what a test has done."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence

import attrs

from pytest_ganeti_vcluster.ganeti.commands import CommandResult

#: So many commands are remembered, and so many characters from the end of what each wrote.
_MOST = 500
_OUTPUT = 4000


@attrs.define(eq=False)
class RanCommand:
    """A command: where and when it began (seconds since the epoch), and how it ended; `status` None: it has not."""

    node: str
    argv: tuple[str, ...]
    began: float
    ended: float | None = None
    status: int | None = None
    timed_out: bool = False
    #: The end of what it wrote, standard error last.
    output: str = ""

    def end(self, result: CommandResult) -> None:
        """Note how it ended."""
        self.ended = time.time()
        self.status = result.returncode
        self.timed_out = result.timed_out
        self.output = (result.stdout[-_OUTPUT:] + result.stderr[-_OUTPUT:])[-_OUTPUT:]


class CommandLog:
    """The last commands that were run through one handle, oldest first; those that run now are among them."""

    def __init__(self) -> None:
        self._commands: deque[RanCommand] = deque(maxlen=_MOST)

    @contextlib.contextmanager
    def running(self, node: str, argv: Sequence[str]) -> Iterator[RanCommand]:
        """Note a command while it runs; who runs it notes its end."""
        command = RanCommand(node, tuple(argv), time.time())
        self._commands.append(command)
        try:
            yield command
        except BaseException as error:
            command.ended = time.time()
            command.output = f"{type(error).__name__}: {error}"[:_OUTPUT]
            raise

    def since(self, moment: float) -> list[RanCommand]:
        """Return those that have not ended before a moment (seconds since the epoch)."""
        return [one for one in list(self._commands) if one.ended is None or one.ended >= moment]
