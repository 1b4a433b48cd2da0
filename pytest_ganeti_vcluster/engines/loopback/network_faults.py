"""Nodes that share the machine's network: what passes between them can only be all of it, or nothing."""

from __future__ import annotations

from pytest_ganeti_vcluster.engines.network_rules import Rule
from pytest_ganeti_vcluster.errors import EngineUnavailable


class NoNetworkFaults:
    """See `engines.base.NetworkFaults`: there are none."""

    def begin(self, name: str, rule: Rule) -> None:  # noqa: ARG002
        """Refuse it."""
        raise EngineUnavailable(
            "engine 'loopback' cannot have faults in the network between nodes: it is this machine's own",
            cure="use engine 'namespaces'",
        )

    def end(self, name: str) -> None:
        """Nothing is in force."""

    def end_all(self) -> None:
        """Nothing is in force."""
