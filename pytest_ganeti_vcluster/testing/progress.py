"""One live line on the terminal while a cluster is built."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

_ERASE = "\r\x1b[K"


class LiveLine:
    """Tell people what a long operation is at. Where there is no terminal, as in xdist workers, tell nothing."""

    def __init__(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        self._reporter: Any = reporter if reporter is not None and reporter.isatty else None
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._begun = False

    @contextlib.contextmanager
    def shown(self) -> Iterator[LiveLine]:
        """Be ready to tell; in the end the line is gone."""
        try:
            yield self
        finally:
            if self._begun:
                self._write(_ERASE)

    def tell(self, line: str) -> None:
        """Show a line in the place of the one before."""
        if self._reporter is None:
            return
        if not self._begun:
            self._begun = True
            with self._uncaptured():
                # The file name or test id that pytest has begun a line with is written again with the result.
                self._reporter.ensure_newline()
        width = self._reporter._tw.fullwidth - 1  # noqa: SLF001 - as plugins that write lines do
        self._write(_ERASE + f"vcluster: {line}"[:width])

    def _write(self, text: str) -> None:
        with self._uncaptured():
            self._reporter.write(text, flush=True)

    def _uncaptured(self) -> contextlib.AbstractContextManager[Any]:
        if self._capture is None:
            return contextlib.nullcontext()
        suspended: contextlib.AbstractContextManager[Any] = self._capture.global_and_fixture_disabled()
        return suspended
