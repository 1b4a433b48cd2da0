"""Ports of this machine from which connections are passed on into a cluster's network, each by an `outlet`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.namespaces.own_programs import outer_environment, own_program
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.keeper.client import Child, Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import locked

#: Seconds that an outlet may take to come up.
_TIMEOUT = 60.0
_PAUSE = 0.005


@attrs.frozen
class Outlets:
    """The outlets of one cluster, written down in `folder`; `network` is where its switch hands out sockets."""

    keeper: Keeper
    folder: Path
    network: Path

    def port(self, address: str, port: int) -> int:
        """Return the port of 127.0.0.1 that leads to one of the cluster's, opened if need be. Raises `BootFailed`."""
        name = f"outlet-{address}-{port}"
        record, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        with locked(self.folder / "outlets.lock"):
            known = _read(record)
            if known is None:
                record.unlink(missing_ok=True)
                target = [str(self.network), str(record), address, str(port)]
                child = self.keeper.spawn(
                    [*own_program("outlet"), *target], env=outer_environment(), stdout=log
                )
                known = _wait(record, child, f"{address}:{port}", log)
        return known


def _wait(record: Path, child: Child, target: str, log: Path) -> int:
    deadline = time.monotonic() + _TIMEOUT
    while (known := _read(record)) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            raise BootFailed(
                f"no way to {target} could be opened",
                seen=log.read_text(errors="replace")[-2000:],
                cure="close the cluster and take a new one",
            )
        time.sleep(_PAUSE)
    return known


def _read(record: Path) -> int | None:
    """Return the port of an outlet; None where there is none that lives."""
    try:
        told = json.loads(record.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    process = ProcessIdentity.of(told["pid"])
    alive = process is not None and process.started == told["started"] and process.is_alive()
    return int(told["port"]) if alive else None
