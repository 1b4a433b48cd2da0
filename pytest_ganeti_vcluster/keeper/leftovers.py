"""Looking for what a cluster left behind: a process, a lease, a folder."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE


def find_leftovers(
    root: Path, *, token: str, known: Iterable[ProcessIdentity], claims: Iterable[tuple[str, int]]
) -> list[str]:
    """Return a line for each thing that is left of the cluster in `root`; none when it is all gone.

    `token` is the cluster's, by which its processes are found; `known` are processes that it had, some of which
    (sshd) overwrite their environment and with it the token; `claims` are address and port of its leases.
    """
    pids = {process.pid for process in _processes(token)}
    pids |= {identity.pid for identity in known if identity.is_alive()}
    left = [f"process {pid}" for pid in sorted(pids)]
    left += [f"lease of {address}" for address, port in claims if not _can_bind(address, port)]
    if root.exists():
        left.append(f"folder {root}")
    return left


def _processes(token: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _can_bind(address: str, port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True
