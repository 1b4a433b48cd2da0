"""What the end of a run tells: where folders and artifacts were kept, and with xdist what the clusters were made of."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ganeti_vcluster.testing import state


class Summary:
    """A plugin of its own, which collects from reports; with xdist, in the controller, from those of all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_worker = hasattr(config, "workerinput")
        # Dicts, for their order.
        self._notes: dict[str, None] = {}
        self._headers: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what `reports.complete` noted."""
        self._notes.update(dict.fromkeys(getattr(report, state.NOTES, ())))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect the header line of a worker, which it could not show itself."""
        output = getattr(node, "workeroutput", None) or {}
        self._headers.update(dict.fromkeys(output.get(state.HEADER_OUTPUT, ())))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell it."""
        lines = [*self._headers, *self._notes]
        if lines and not self._is_worker:
            terminalreporter.write_sep("=", "vcluster")
            for line in lines:
                terminalreporter.write_line(line)
