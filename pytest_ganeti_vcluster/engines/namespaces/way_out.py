"""The way out of a cluster's network, from which its nodes are switched on and off: a `porter`."""

from __future__ import annotations

from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.namespaces.own_programs import outer_environment, own_program
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE

#: Seconds that it may take to come up.
_TIMEOUT = 60.0
_PAUSE = 0.005


@attrs.frozen
class WayOut:
    """That of the cluster with a `token`; `folder` is the engine's.

    `network` is where the switch hands out sockets, `address` what stands for all that is outside, and `program` is run
    there for whoever runs `porter.WAY_OUT` on a node, with its arguments.
    """

    keeper: Keeper
    folder: Path
    network: Path
    address: str
    program: Path
    token: str = attrs.field(repr=False)

    def open(self) -> None:
        """Open it, soon."""
        self.keeper.spawn(
            [*own_program("porter"), str(self.network), self.address, str(self.program)],
            env={**outer_environment(), TOKEN_VARIABLE: self.token},
            stdout=self.folder / "porter.log",
        )
