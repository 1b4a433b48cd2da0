"""The addresses of a cluster where logins are neither served nor refused."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.loopback import silence
from pytest_ganeti_vcluster.errors import DaemonDied
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import replace_text

_TIMEOUT = 20.0
_PAUSE = 0.005


@attrs.frozen
class SilentLogins:
    """Has a process listen for each such address; which of them run is written in `folder`."""

    keeper: Keeper
    folder: Path
    port: int

    def addresses(self) -> set[str]:
        """Tell where they listen."""
        found = {record: _read(record) for record in self.folder.glob("silent-*.json")}
        return {
            _address(record)
            for record, process in found.items()
            if process is not None and process.is_alive()
        }

    def end_but(self, addresses: AbstractSet[str]) -> None:
        """Free the port on all addresses but these."""
        for record in self.folder.glob("silent-*.json"):
            if _address(record) not in addresses:
                process = _read(record)
                if process is not None and process.signal(signal.SIGKILL):
                    process.wait_gone(_TIMEOUT)
                record.unlink(missing_ok=True)
                self._ready(record).unlink(missing_ok=True)

    def begin(self, addresses: AbstractSet[str]) -> None:
        """Listen on these addresses, which sshd has left, and return when that is so. Raises `DaemonDied`."""
        for address in sorted(addresses):
            record = self.folder / f"silent-{address}.json"
            process = _read(record)
            if process is not None and process.is_alive():
                continue
            ready = self._ready(record)
            ready.unlink(missing_ok=True)
            argv = [sys.executable, "-IS", silence.__file__, address, str(self.port), str(ready)]
            child = self.keeper.spawn(argv, stdout=record.with_suffix(".log"), cwd="/")
            replace_text(record, json.dumps(child.identity.to_json()))
            deadline = time.monotonic() + _TIMEOUT
            while not ready.exists():
                if not child.identity.is_alive() or time.monotonic() > deadline:
                    raise DaemonDied(
                        f"nobody listens on {address} port {self.port}, where logins are to wait",
                        seen=record.with_suffix(".log").read_text(errors="replace")[-2000:],
                        cure="close the cluster and take a new one",
                    )
                time.sleep(_PAUSE)

    @staticmethod
    def _ready(record: Path) -> Path:
        return record.with_suffix(".ready")


def _address(record: Path) -> str:
    return record.stem[len("silent-") :]


def _read(record: Path) -> ProcessIdentity | None:
    try:
        return ProcessIdentity.from_json(json.loads(record.read_text(encoding="ascii")))
    except FileNotFoundError:
        return None
