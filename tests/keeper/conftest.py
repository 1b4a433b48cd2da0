"""A base folder with a short path, keepers on it, and an eye on every process that carries their tokens."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import attrs
import psutil
import pytest

from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE, create_root

HERE = Path(__file__).parent
MISBEHAVING = HERE / "misbehaving.py"


def eventually(condition: Callable[[], object], timeout: float = 5.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def carriers(token: str) -> list[psutil.Process]:
    """Every process that has the token in its environment, found without the keeper's help."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def misbehaving(mode: str, *arguments: object) -> list[str]:
    """Command line of a child that misbehaves in one way."""
    return [sys.executable, str(MISBEHAVING), mode, *map(str, arguments)]


@attrs.frozen
class Case:
    """A root that is about to have a keeper, and the token that its processes will carry."""

    base: Path
    root: Path
    token: str

    def start(self) -> Keeper:
        return Keeper.start(self.root, token=self.token)

    def carriers(self) -> list[psutil.Process]:
        return carriers(self.token)

    def is_clean(self) -> bool:
        return not self.root.exists() and not self.carriers()


@pytest.fixture
def base() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gvk-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def case(base: Path) -> Iterator[Case]:
    case = Case(base, create_root(base), secrets.token_hex(16))
    yield case
    # Whatever a failed test left: two looks, because what dies may have had children.
    for _ in range(2):
        for process in case.carriers():
            process.kill()
    assert eventually(lambda: not case.carriers())


@pytest.fixture
def keeper(case: Case) -> Iterator[Keeper]:
    keeper = case.start()
    yield keeper
    keeper.stop()


@attrs.frozen
class OtherClient:
    """Another process that has a connection to a keeper, to be killed."""

    process: subprocess.Popen[str]
    reports: tuple[str, ...]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def other_client() -> Iterator[Callable[..., OtherClient]]:
    """Starts `client_process.py` with these arguments, and gives it when it has reported `ready`."""
    clients: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> OtherClient:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "client_process.py"), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        clients.append(process)
        assert process.stdout is not None
        reports = []
        for line in process.stdout:
            if line == "ready\n":
                break
            reports.append(line.rstrip("\n"))
        else:
            raise AssertionError(f"the client ended with {process.wait()}")
        return OtherClient(process, tuple(reports))

    yield start
    for process in clients:
        process.kill()
        process.communicate()
