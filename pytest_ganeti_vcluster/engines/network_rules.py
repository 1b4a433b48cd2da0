"""What is to become of what passes between parties of a cluster's network. Imports the standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

#: The party that stands for all machines outside the cluster; nodes are parties by their number, from 1.
OUTSIDE = 0


class Parties(NamedTuple):
    """Parties of a network by number, or all `others` but these, whichever there are and will be."""

    numbers: frozenset[int]
    others: bool = False

    def have(self, number: int) -> bool:
        """Whether a party is one of them."""
        return (number in self.numbers) != self.others


class Rule(NamedTuple):
    """What becomes of frames that pass along one of `flows`, each from whom to whom.

    They are dropped with `drop`, and otherwise lost with a probability of `loss` (by random numbers from `seed`); from
    each party to each other, so many bytes of them leave in a second (`bandwidth`, 0 for any number), and arrive
    `delay` seconds later.
    """

    flows: tuple[tuple[Parties, Parties], ...]
    drop: bool = False
    delay: float = 0.0
    loss: float = 0.0
    bandwidth: float = 0.0
    seed: int = 0

    def concerns(self, source: int, destination: int) -> bool:
        """Whether it is about what passes from one party to another."""
        return any(ours.have(source) and theirs.have(destination) for ours, theirs in self.flows)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes it of."""
        flows = [[[sorted(side.numbers), side.others] for side in flow] for flow in self.flows]
        return {**self._asdict(), "flows": flows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rule:
        """Make a rule of what `to_json` gave. Raises `KeyError`, `TypeError`, `ValueError` for anything else."""
        flows = tuple(
            (Parties(frozenset(ours), bool(not_ours)), Parties(frozenset(theirs), bool(not_theirs)))
            for (ours, not_ours), (theirs, not_theirs) in value["flows"]
        )
        made = cls(**{**value, "flows": flows})
        return made._replace(
            drop=bool(made.drop),
            delay=float(made.delay),
            loss=float(made.loss),
            bandwidth=float(made.bandwidth),
            seed=int(made.seed),
        )


def between(ours: Parties, theirs: Parties) -> tuple[tuple[Parties, Parties], ...]:
    """Return the flows in both directions."""
    return ((ours, theirs), (theirs, ours))
