"""pytest plugin of this project's own tests: brings the docs' table of rows up to date, or holds it to a run."""

from __future__ import annotations

import pytest

from tests.rows import showing

_PLUGIN = "rows-recording"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rows",
        choices=("write", "check"),
        help="what to do with the docs' table of design rows: bring it up to date with what this run shows, or fail"
        " where it says something else",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{showing.MARKER}(row, what, because): see tests/rows/showing.py")
    wanted = config.getoption("--rows")
    # With xdist all reports come to the controller.
    if wanted and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recording(wanted), _PLUGIN)


class _Recording:
    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._shown = showing.Shown()
        self._wrong: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._shown.see(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        before = showing.read()
        after = self._shown.kept(before)
        if self._wanted == "write":
            showing.write(after)
            return
        self._wrong = [f"not shown by this run: {claim}" for claim in sorted(before - after)]
        self._wrong += [f"shown, but not there: {claim}" for claim in sorted(after - before)]
        if self._wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._wrong:
            terminalreporter.section("the docs' table of design rows", red=True)
            for line in self._wrong:
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"`pytest tests/rows --rows=write` brings {showing.SHOWN} up to date")
