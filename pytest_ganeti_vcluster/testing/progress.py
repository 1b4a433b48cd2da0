"""Telling people what a test that gets its cluster is at: one live line on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pytest_ganeti_vcluster.testing import state

#: Called with one line for people as each stage begins.
Tell = Callable[[str], None]

_ERASE = "\r\x1b[K"

#: Seconds after which plain lines begin (a clone is told by one stage, at its start: so it tells nothing), and
#: between two of them.
_AFTER = 0.3
_BETWEEN = 5.0


@contextlib.contextmanager
def shown(config: pytest.Config) -> Iterator[Tell]:
    """Give what shows lines of one long operation, on a terminal or in a log."""
    if hasattr(config, "workerinput"):
        yield _Paced(_ToController(config)).tell
        return
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        yield lambda _line: None
    elif reporter.isatty and not os.environ.get("CI"):
        line = _LiveLine(config, reporter)
        try:
            yield line.tell
        finally:
            line.erase()
    else:
        yield _Paced(_OwnLines(config, reporter)).tell


def write_plain(reporter: Any, line: str) -> None:
    """Write a line of its own, wherever pytest is in one of its own."""
    # The file name or test id that pytest has begun a line with is written again with the result.
    reporter.ensure_newline()
    reporter.write_line(line)


class _Paced:
    """Hands on the line with which it begins to take long, and then no more than one in a while, and none twice."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._due = time.monotonic() + _AFTER
        self._last = ""

    def tell(self, line: str) -> None:
        now = time.monotonic()
        if line == self._last:
            return
        self._last = line
        if now >= self._due:
            self._due = now + _BETWEEN
            self._tell(line)


class _OwnLines:
    """Plain lines among pytest's own."""

    def __init__(self, config: pytest.Config, reporter: Any) -> None:
        self._config = config
        self._reporter = reporter

    def __call__(self, line: str) -> None:
        with _uncaptured(self._config):
            write_plain(self._reporter, f"vcluster: {line}")


class _ToController:
    """Sends lines from an xdist worker to its controller, which has the terminal.

    xdist has no messages for plugins. What it does hand on at once are reports of tests, and pytest makes nothing of
    one more that says that the setup goes well; `Summary` in the controller shows the line that it carries.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __call__(self, line: str) -> None:
        item = self._config.stash.get(state.ITEM, None)
        if item is None:
            return
        worker = getattr(self._config, "workerinput", {}).get("workerid", "?")
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="passed",
            longrepr=None,
            when="setup",
        )
        setattr(report, state.PROGRESS, f"[{worker}] vcluster: {line}")
        self._config.hook.pytest_runtest_logreport(report=report)


class _LiveLine:
    """One line that changes in its place, and is gone in the end."""

    def __init__(self, config: pytest.Config, reporter: Any) -> None:
        self._config = config
        self._reporter = reporter
        self._begun = False

    def tell(self, line: str) -> None:
        """Show a line in the place of the one before."""
        with _uncaptured(self._config):
            if not self._begun:
                self._begun = True
                # The file name or test id that pytest has begun a line with is written again with the result.
                self._reporter.ensure_newline()
            width = self._reporter._tw.fullwidth - 1  # noqa: SLF001 - as plugins that write lines do
            self._reporter.write(_ERASE + f"vcluster: {line}"[:width], flush=True)

    def erase(self) -> None:
        """Leave no trace."""
        if self._begun:
            with _uncaptured(self._config):
                self._reporter.write(_ERASE, flush=True)


def _uncaptured(config: pytest.Config) -> contextlib.AbstractContextManager[Any]:
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return contextlib.nullcontext()
    suspended: contextlib.AbstractContextManager[Any] = capture.global_and_fixture_disabled()
    return suspended
