"""Starting a keeper's process, and asking one: what the client's methods have in common."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import pytest_ganeti_vcluster
from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.protocol import Channel, ProtocolError
from pytest_ganeti_vcluster.keeper.record import KEEPER_LOG, KEEPER_SOCKET, as_disk_full, dead

#: Seconds between two calls of what watches a command.
_BETWEEN_LOOKS = 0.2


def launch(root: Path, connection: socket.socket, environment: dict[str, str], timeout: float) -> None:
    """Start the keeper's process and wait until it has left us."""
    package = Path(pytest_ganeti_vcluster.__file__).parent.parent
    with (root / KEEPER_LOG).open("ab") as log:
        starter = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest_ganeti_vcluster.keeper",
                os.fspath(root),
                str(connection.fileno()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[connection.fileno()],
            # `-m` looks in the current folder first: so it is this package and no other, installed or not.
            cwd=package,
            env=environment,
        )
    try:
        starter.wait(timeout)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        if starter.poll() is None:
            starter.kill()
            starter.wait()


def connect(root: Path) -> Channel:
    """Connect to the keeper of a root. Raises `KeeperError`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(root / KEEPER_SOCKET))
    except OSError as error:
        connection.close()
        raise dead(root, f"cannot be reached: {error}") from error
    return Channel(connection)


def exchange(
    root: Path,
    channel: Channel,
    request: dict[str, Any],
    descriptors: Sequence[int],
    *,
    timeout: float | None,
    watch: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Send a request and wait for its answer, calling `watch` meanwhile.

    A connection that failed once has lost its place and is not used again.
    """
    try:
        channel.send(request, descriptors)
        answer = channel.receive(timeout) if watch is None else _receive_watching(channel, timeout, watch)
    except TimeoutError:
        channel.close()
        raise dead(root, f"did not answer {request['op']!r} within {timeout:g} s") from None
    except (OSError, ProtocolError) as error:
        channel.close()
        raise dead(root, f"broke off: {error}") from error
    except BaseException:
        channel.close()
        raise
    return accepted(root, answer)


def _receive_watching(
    channel: Channel, timeout: float | None, watch: Callable[[], None]
) -> dict[str, Any] | None:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return channel.receive(_BETWEEN_LOOKS)
        except TimeoutError:
            if deadline is not None and time.monotonic() > deadline:
                raise
        watch()


def accepted(root: Path, answer: dict[str, Any] | None) -> dict[str, Any]:
    """The answer, unless it is that the keeper refuses or has gone: `KeeperError`, `DiskFull`."""
    if answer is None:
        raise dead(root, "has ended")
    if answer["ok"]:
        return answer
    error = OSError(answer["errno"], answer["error"])
    if disk_full := as_disk_full(error, root):
        raise disk_full
    raise KeeperError(f"the keeper of {root}: {answer['error']}")
