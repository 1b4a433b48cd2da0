"""pytest plugin of this project's own tests: brings the docs' matrix of faults up to date, or holds it to a run."""

from __future__ import annotations

import pytest

from tests.faults import seeing

_PLUGIN = "faults-recording"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=("write", "check"),
        help="what to do with the docs' matrix of faults: bring it up to date with what this run sees, or fail where"
        " it has other rows",
    )


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("--faults")
    # With xdist all reports come to the controller.
    if wanted and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recording(wanted), _PLUGIN)


class _Recording:
    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._gathered = seeing.Gathered()
        self._wrong: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._gathered.see(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        before = seeing.read()
        after = self._gathered.kept(before)
        if self._wanted == "write":
            seeing.write(after)
            return
        # Texts tell how long something took, and who was asked first: they may differ from run to run.
        known, now = {one.key for one in before}, {one.key for one in after}
        self._wrong = [f"not seen by this run: {key}" for key in sorted(known - now)]
        self._wrong += [f"seen, but not there: {key}" for key in sorted(now - known)]
        if self._wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._wrong:
            terminalreporter.section("the docs' matrix of faults", red=True)
            for line in self._wrong:
                terminalreporter.write_line(line)
            terminalreporter.write_line(
                f"`pytest tests/faults --faults=write` brings {seeing.SEEN} up to date"
            )
