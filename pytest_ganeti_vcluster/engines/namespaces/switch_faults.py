"""Faults of a network whose switch can be told of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.engines.base import Names
from pytest_ganeti_vcluster.engines.namespaces.control import Answer, ask
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.engines.namespaces.machine import INTERFACE
from pytest_ganeti_vcluster.engines.network_rules import Rule
from pytest_ganeti_vcluster.errors import BootFailed, EngineUnavailable, KeeperError

#: A node that has asked in vain for another's hardware address has whoever wants to go there wait for the end of that,
#: up to 3 s, and refuses them then, even though it would be answered by now.
_FORGET_MISSES = ("ip", "neigh", "flush", "dev", INTERFACE, "nud", "incomplete", "nud", "failed")


@attrs.frozen
class SwitchFaults:
    """Faults of the network whose switch hears at `path`; see `engines.base.NetworkFaults`.

    `root` has the root folders of the nodes that `names` tells of; `run_in` runs a command, with an input, in some
    namespaces of a process.
    """

    path: Path
    root: Path
    names: Names
    run_in: Callable[[int, Sequence[str], str, Sequence[str]], None]

    def begin(self, name: str, rule: Rule) -> None:
        """Have a rule be in force."""
        wrong = self._ask(begin=name, rule=rule.to_json()).error
        if wrong:
            raise EngineUnavailable(
                "engine 'namespaces' cannot have faults in the network here: frames cannot be forwarded by rules",
                seen=wrong,
                cure="run `ganeti-vcluster doctor`, which tells what is missing",
            )

    def end(self, name: str) -> None:
        """Have it be in force no more."""
        self._ended(self._ask(end=name))

    def end_all(self) -> None:
        """Have no rule be in force, whoever began it."""
        self._ended(self._ask(end_all=True))

    def _ended(self, answer: Answer) -> None:
        if answer.error:
            raise KeeperError(
                "the switch of the cluster's network could not be put right",
                seen=answer.error,
                cure="close the cluster and take a new one",
            )
        if answer.had_rules:
            self._forget_misses()

    def _forget_misses(self) -> None:
        for name in self.names.nodes():
            first = FirstProcess.living(self.root / name)
            if first is not None:
                # One that goes down just now has forgotten all.
                with contextlib.suppress(BootFailed):
                    self.run_in(first.identity.pid, _FORGET_MISSES, "", ("--net",))

    def _ask(self, **wish: object) -> Answer:
        try:
            return ask(os.fspath(self.path), **wish)
        except OSError as error:
            raise KeeperError(
                "the switch of the cluster's network does not answer",
                seen=str(error),
                cure="close the cluster and take a new one",
            ) from error
