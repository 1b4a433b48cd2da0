"""Run the suite to its end, whatever fails, and write down what became of each test.

Started by Ganeti's Python as `driver.py ORDER.json`. A line of JSON is appended to `events` for all that happens.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Collection, Iterator
from types import FrameType, ModuleType
from typing import Any, Callable

_HERE = os.path.dirname(os.path.abspath(__file__))

#: Without what these give or do, what comes after them means nothing.
_ESSENTIAL = frozenset({"TestClusterInit", "TestNodeAddAll"})


class TooLong(Exception):
    """A test took longer than a test may."""


class Recorder:
    """Runs tests one by one and tells of each; `seconds` is how long one may take."""

    def __init__(self, events: str, seconds: float, recover: Callable[[], None]) -> None:
        self._events = events
        self._seconds = seconds
        self._recover = recover
        self._running: list[Any] = []
        self.busy = False
        self.commands = 0
        #: The disk template that instances have in this part of the run.
        self.template = ""

    def tell(self, **event: Any) -> None:
        """Write an event."""
        with open(self._events, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    def started(self, process: Any) -> Any:
        """Take note of a program that a test runs."""
        self.commands += 1
        self._running = [one for one in self._running if one.poll() is None]
        self._running.append(process)
        return process

    def name(self, function: Any) -> str:
        """Return how results call a test: module and function, and the disk template where it is about one."""
        module = function.__module__.rpartition(".")[2]
        name = f"{module}.{function.__name__}"
        return f"{name}[{self.template}]" if self.template else name

    def run(self, function: Any, call: Callable[[], Any], *, essential: bool) -> Any:
        """Run a test by `call`; what an inessential one raises is told and goes no further."""
        name = self.name(function)
        self.tell(event="start", test=name)
        self.busy, self.commands = True, 0
        begin = time.monotonic()
        try:
            with self._bounded():
                result = call()
        except Exception as error:
            self.tell(event="failed", test=name, seconds=time.monotonic() - begin, error=_told(error))
            traceback.print_exc()
            self._recover()
            if essential:
                raise
            return None
        finally:
            self.busy = False
        outcome = "passed" if self.commands else "empty"
        self.tell(event=outcome, test=name, seconds=time.monotonic() - begin)
        return result

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        def expired(_number: int, _frame: FrameType | None) -> None:
            for process in self._running:
                if process.poll() is None:
                    process.kill()
            raise TooLong(f"no end after {self._seconds:g} s")

        before = signal.signal(signal.SIGALRM, expired)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _load(suite: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("ganeti_qa", os.path.join(suite, "qa", "ganeti-qa.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _count_commands(recorder: Recorder, utils: ModuleType) -> None:
    start = utils.StartLocalCommand
    utils.StartLocalCommand = lambda *args, **options: recorder.started(  # type: ignore[attr-defined]
        start(*args, **options)
    )


def _count_requests(recorder: Recorder, client: Any) -> None:
    send = client._SendRequest

    def _SendRequest(self: Any, *args: Any, **options: Any) -> Any:
        recorder.commands += 1
        return send(self, *args, **options)

    client._SendRequest = _SendRequest


def _record(recorder: Recorder, program: Any, off: Collection[str]) -> None:
    """Have every test of the program run by the recorder, but for those that are `off`."""
    config = sys.modules["qa.qa_config"]
    run_test, run_block, report_skip = program.RunTest, program.RunTestBlock, program.ReportTestSkip
    templates = {
        function: template for _, template, function, _ in program.qa_instance.available_instance_tests
    }
    verify = program.qa_cluster.AssertClusterVerify

    def RunTest(fn: Any, *args: Any, **options: Any) -> Any:
        recorder.template = templates.get(fn, recorder.template)
        if recorder.name(fn) in off:
            recorder.tell(event="skipped", test=recorder.name(fn), off=[recorder.name(fn)])
            return None
        essential = (
            fn in templates or fn.__name__ in _ESSENTIAL or fn.__name__.startswith("TestRapiInstanceAdd")
        )
        return recorder.run(fn, lambda: run_test(fn, *args, **options), essential=essential)

    def RunTestIf(testnames: Any, fn: Any, *args: Any, **options: Any) -> None:
        if config.TestEnabled(testnames):
            RunTest(fn, *args, **options)
            return
        recorder.tell(event="skipped", test=recorder.name(fn), off=_off(config, testnames))
        report_skip(program._DescriptionOf(fn), testnames)

    def ReportTestSkip(desc: str, testnames: Any) -> None:
        # A condition that the suite has looked at by itself, in place of a setting.
        recorder.tell(event="skipped", test=desc, off=_off(config, testnames) or [str(testnames)])
        report_skip(desc, testnames)

    def RunTestBlock(fn: Any, *args: Any, **options: Any) -> Any:
        try:
            return run_block(fn, *args, **options)
        except Exception as error:
            # What failed was told already, or is none of the tests.
            recorder.tell(event="block", test=recorder.name(fn), error=_told(error))
            traceback.print_exc()
            return None
        finally:
            recorder.template = ""

    def AssertClusterVerify(*args: Any, **options: Any) -> Any:
        if recorder.busy:
            return verify(*args, **options)
        return recorder.run(verify, lambda: verify(*args, **options), essential=False)

    program.RunTest, program.RunTestIf = RunTest, RunTestIf
    program.RunTestBlock, program.ReportTestSkip = RunTestBlock, ReportTestSkip
    program.qa_cluster.AssertClusterVerify = AssertClusterVerify


def _off(config: Any, testnames: Any) -> list[str]:
    """Name the settings that keep a test off."""
    names = testnames if isinstance(testnames, (list, tuple)) else [testnames]
    return [getattr(name, "__name__", str(name)) for name in names if not config.TestEnabled(name)]


def _recovery(command: str, master: str) -> Callable[[], None]:
    """Make the master the master again, where a test has left it with another node."""

    def recover() -> None:
        told = subprocess.run(
            [command, "gnt-cluster", "getmaster"], capture_output=True, text=True, check=False
        )
        if told.stdout.strip() not in {"", master}:
            subprocess.run([command, "gnt-cluster", "master-failover"], check=False)

    return recover


def main() -> int:
    """Run what the order says; 0 when the suite came to its end."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        order = json.load(stream)
    suite = order["suite"]
    sys.path[:0] = [_HERE, order["site"], suite, os.path.join(suite, "qa"), order["modules"]]
    sys.path.append(order["yaml"])
    # Adapted first: what comes after it imports Ganeti.
    importlib.import_module("vcluster_inside.activation").activate()
    adaptations: Any = importlib.import_module("adaptations")

    own = os.environ["GANETI_ROOTDIR"]
    commands = {name: os.path.join(root, "cmd") for name, root in order["nodes"].items()}
    recorder = Recorder(
        order["events"], order["seconds"], _recovery(commands[order["master"]], order["master"])
    )
    worded = adaptations.Commands(own, order["nodes"], order["ssh_port"])
    # The suite imports it under two names, and uses both.
    for utils in map(importlib.import_module, ("qa_utils", "qa.qa_utils")):
        _count_commands(recorder, utils)
        adaptations.adapt_commands(utils, worded, os.environ["NSS_WRAPPER_HOSTS"])
    program: Any = _load(suite)
    _count_requests(recorder, program.rapi.client.GanetiRapiClient)
    adaptations.adapt_suite(program, order["authority"], commands)
    _record(recorder, program, order["off"])
    os.chdir(os.path.join(suite, "qa"))
    sys.argv = ["ganeti-qa.py", "--yes-do-it", order["config"]]
    begin = time.monotonic()
    try:
        program.main()
    except Exception as error:
        traceback.print_exc()
        recorder.tell(event="aborted", error=_told(error), seconds=time.monotonic() - begin)
        return 1
    recorder.tell(event="end", seconds=time.monotonic() - begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
