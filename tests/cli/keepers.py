"""Keepers without a cluster, and such as are killed."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import create_root


def start(base: Path) -> Keeper:
    return Keeper.start(create_root(base), token=secrets.token_hex(16))


def kill(keeper: Keeper) -> None:
    """As the kernel does when memory is short: nobody is left to clean up."""
    for identity in (keeper.guardian, keeper.identity):
        identity.signal(signal.SIGKILL)
        assert identity.wait_gone(5)
    keeper.close()
