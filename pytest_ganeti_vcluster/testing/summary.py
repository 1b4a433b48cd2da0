"""What the end of a run tells: where folders and artifacts were kept, what clusters cost, and with xdist what of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_ganeti_vcluster.testing import state


class Summary:
    """A plugin of its own, which collects from reports; with xdist, in the controller, from those of all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        # Dicts, for their order.
        self._notes: dict[str, None] = {}
        self._headers: dict[str, None] = {}
        self._spent: list[Sequence[Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what `reports.complete` noted; show what a worker tells of its progress."""
        self._notes.update(dict.fromkeys(getattr(report, state.NOTES, ())))
        self._spent += getattr(report, state.SPENT, ())
        line = getattr(report, state.PROGRESS, None)
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if line is not None and reporter is not None and not self._is_worker:
            from pytest_ganeti_vcluster.testing.progress import write_plain

            write_plain(reporter, line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect what a worker could not show itself: its header line, and what came after its last report."""
        output = getattr(node, "workeroutput", None) or {}
        self._headers.update(dict.fromkeys(output.get(state.HEADER_OUTPUT, ())))
        self.add(output.get(state.NOTES, ()), output.get(state.SPENT, ()))

    def add(self, notes: Sequence[str], spent: Sequence[Sequence[Any]]) -> None:
        """Take in what came after the last report."""
        self._notes.update(dict.fromkeys(notes))
        self._spent += spent

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell it."""
        lines = [*self._headers, *self._notes, *self._costs()]
        if lines and not self._is_worker:
            terminalreporter.write_sep("=", "vcluster")
            for line in lines:
                terminalreporter.write_line(line)

    def _costs(self) -> list[str]:
        if not self._spent:
            return []
        from pytest_ganeti_vcluster.testing import timings

        spent = [timings.Spent.from_plain(plain) for plain in self._spent]
        lines = timings.short_lines(spent)
        durations = self._config.getoption("durations", None)
        if durations is None and self._config.getoption("verbose", 0) <= 0:
            return lines
        return [*lines, *timings.table_lines(spent), *timings.slowest_lines(spent, durations)]
