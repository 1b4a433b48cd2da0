"""Starting many programs by the fork server, with one client for all of them.

A client for each is a Python of its own, whose start costs more than the fork of the program. What each program is to
be started with is told by who starts us; all else it inherits from us, as it would from a stub that we start.

We read a list of `{"stub", "program", "argv", "name", "folder", "environment"}` from our input, as JSON, and write a
list of what came of each: `[status, output]`, the status as `subprocess` gives it, or null where the server does not
serve it and it is to be run in another way.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
import time
from typing import Any

from . import client, wire

#: Programs under way at a time: enough to keep processors busy while some of them wait.
_AT_ONCE = 4

#: Seconds that the server has to take a program; it may be loading Ganeti.
_PATIENCE = 10.0

#: Bytes of output that are told.
_MOST_OUTPUT = 20_000

_STANDARD = (0, 1, 2)


def main() -> None:
    """Start the programs that stdin tells of, and tell on stdout what came of them."""
    wanted = json.load(sys.stdin)
    inherited = client.inheritance(set())
    json.dump(_Starting(wanted, inherited).run(), sys.stdout)


class _Program:
    """A program under way: `guard` is the pid of who watches it, 0 until the server has taken it."""

    def __init__(self, number: int, wanted: dict[str, Any], inherited: dict[str, object]) -> None:
        self.number = number
        self.guard = 0
        self.deadline = time.monotonic() + _PATIENCE
        self.output = os.fdopen(os.memfd_create("output"), "r+b", buffering=0)
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.connection.settimeout(_PATIENCE)
            self.connection.connect(wanted["environment"][wire.VARIABLE])
            self._ask(wanted, inherited)
        except BaseException:
            self.close()
            raise

    def _ask(self, wanted: dict[str, Any], inherited: dict[str, object]) -> None:
        request = {
            "stub": os.fsencode(wanted["stub"]),
            "program": os.fsencode(wanted["program"]),
            "argv": [os.fsencode(argument) for argument in wanted["argv"]],
            "name": os.fsencode(wanted["name"]),
            "environment": [
                (os.fsencode(key), os.fsencode(value)) for key, value in wanted["environment"].items()
            ],
            "descriptors": list(_STANDARD),
            **inherited,
        }
        with contextlib.ExitStack() as stack:
            source = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, source)
            folder = os.open(wanted["folder"], os.O_PATH | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            output = self.output.fileno()
            client.send(self.connection, request, [source, output, output, folder])

    def hear(self) -> tuple[bool, Any]:
        """Take what the guard says: whether it was its last, and what came of the program."""
        try:
            data = self.connection.recv(wire.STATUS if self.guard else wire.ANSWER)
            if self.guard:
                # Gone without telling: nobody knows how far it has come, as if it had been killed.
                status = wire.unpack_numbers(data)[0] if len(data) == wire.STATUS else 9
                return True, [os.waitstatus_to_exitcode(status), self._written()]
            if data[:1] != wire.READY or len(data) != wire.ANSWER:
                return True, None
            self.guard = wire.unpack_numbers(data[1:])[0]
            self.connection.send(wire.GO)
        except OSError:
            return True, [-9, self._written()] if self.guard else None
        return False, None

    def _written(self) -> str:
        size = os.fstat(self.output.fileno()).st_size
        data = os.pread(self.output.fileno(), _MOST_OUTPUT, max(0, size - _MOST_OUTPUT))
        return data.decode(errors="replace")

    def close(self) -> None:
        """Let go of it; who is still under way then is ended by its guard."""
        self.connection.close()
        self.output.close()


class _Starting:
    """All programs, some of them under way."""

    def __init__(self, wanted: list[dict[str, Any]], inherited: dict[str, object]) -> None:
        self._wanted = wanted
        self._inherited = inherited
        self._outcomes: list[Any] = [None] * len(wanted)
        self._next = 0
        self._guards: list[int] = []

    def run(self) -> list[Any]:
        with selectors.DefaultSelector() as selector:
            self._begin(selector)
            while selector.get_map():
                waiting = [key.data for key in selector.get_map().values()]
                untaken = [one.deadline for one in waiting if not one.guard]
                pause = max(0.0, min(untaken) - time.monotonic()) if untaken else None
                for key, _events in selector.select(pause):
                    is_over, outcome = key.data.hear()
                    if is_over:
                        self._end(selector, key.data, outcome)
                for one in waiting:
                    if not one.guard and time.monotonic() > one.deadline and one.connection.fileno() >= 0:
                        self._end(selector, one, None)
                self._begin(selector)
        # Who looks at the processes when we have ended is to find nothing of ours.
        for guard in self._guards:
            client.outlive(guard)
        return self._outcomes

    def _begin(self, selector: selectors.BaseSelector) -> None:
        while self._next < len(self._wanted) and len(selector.get_map()) < _AT_ONCE:
            number = self._next
            self._next += 1
            # What cannot be asked for is run in another way.
            with contextlib.suppress(OSError, ValueError, KeyError):
                program = _Program(number, self._wanted[number], self._inherited)
                selector.register(program.connection, selectors.EVENT_READ, program)

    def _end(self, selector: selectors.BaseSelector, program: _Program, outcome: Any) -> None:
        selector.unregister(program.connection)
        self._outcomes[program.number] = outcome
        if program.guard:
            self._guards.append(program.guard)
        program.close()
