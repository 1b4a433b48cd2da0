"""The way out of a cluster's network, from which its nodes are switched on and off: a `porter`, where it is wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.engines.namespaces.own_programs import outer_environment, own_program
from pytest_ganeti_vcluster.engines.namespaces.porter import WAY_OUT
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import locked
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE

#: Seconds that it may take to come up.
_TIMEOUT = 60.0
_PAUSE = 0.005


@attrs.frozen
class WayOut:
    """That of the cluster with a `token`; `folder` is the engine's.

    `network` is where the switch hands out sockets, `address` what stands for all that is outside.
    """

    keeper: Keeper
    folder: Path
    network: Path
    address: str
    token: str = attrs.field(repr=False)

    def open(self, program: Path) -> str:
        """Return the path, on every node, of what has `program` run outside with its arguments. Raises `BootFailed`."""
        with locked(self.folder / "porter.lock"):
            known = self._known()
            if known is None or not ProcessIdentity.from_json(known["process"]).is_alive():
                self._open(program)
        return WAY_OUT

    def open_again(self) -> None:
        """Open it where it was open once, and who stood there is gone. Raises `BootFailed`."""
        known = self._known()
        if known is not None:
            self.open(Path(known["program"]))

    def _open(self, program: Path) -> None:
        log = self.folder / "porter.log"
        self._record.unlink(missing_ok=True)
        child = self.keeper.spawn(
            [*own_program("porter"), str(self.network), str(self._record), self.address, str(program)],
            env={**outer_environment(), TOKEN_VARIABLE: self.token},
            stdout=log,
        )
        deadline = time.monotonic() + _TIMEOUT
        while not self._record.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise BootFailed(
                    "no way out of the cluster's network could be opened",
                    seen=log.read_text(errors="replace")[-2000:],
                    cure="close the cluster and take a new one",
                )
            time.sleep(_PAUSE)

    @property
    def _record(self) -> Path:
        return self.folder / "porter.json"

    def _known(self) -> Mapping[str, Any] | None:
        try:
            known: Mapping[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return known
