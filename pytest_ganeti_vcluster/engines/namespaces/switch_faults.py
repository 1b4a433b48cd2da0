"""Faults of a network whose switch can be told of them."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.namespaces.control import ask
from pytest_ganeti_vcluster.engines.network_rules import Rule
from pytest_ganeti_vcluster.errors import EngineUnavailable, KeeperError


@attrs.frozen
class SwitchFaults:
    """Faults of the network whose switch hears at `path`; see `engines.base.NetworkFaults`."""

    path: Path

    def begin(self, name: str, rule: Rule) -> None:
        """Have a rule be in force."""
        wrong = self._ask(begin=name, rule=rule.to_json())
        if wrong:
            raise EngineUnavailable(
                "engine 'namespaces' cannot have faults in the network here: frames cannot be forwarded by rules",
                seen=wrong,
                cure="run `ganeti-vcluster doctor`, which tells what is missing",
            )

    def end(self, name: str) -> None:
        """Have it be in force no more."""
        self._check(self._ask(end=name))

    def end_all(self) -> None:
        """Have no rule be in force, whoever began it."""
        self._check(self._ask(end_all=True))

    def _ask(self, **wish: object) -> str:
        try:
            return ask(os.fspath(self.path), **wish)
        except OSError as error:
            raise KeeperError(
                "the switch of the cluster's network does not answer",
                seen=str(error),
                cure="close the cluster and take a new one",
            ) from error

    @staticmethod
    def _check(wrong: str) -> None:
        if wrong:
            raise KeeperError(
                "the switch of the cluster's network could not be put right",
                seen=wrong,
                cure="close the cluster and take a new one",
            )
