"""What becomes of a frame, by the rules that are in force. Imports the standard library only."""

from __future__ import annotations

import random

from pytest_ganeti_vcluster.engines.network_rules import Rule

#: Seconds for which frames wait for others before them where there is little bandwidth; what would wait longer is
#: dropped, as by any switch whose memory is full.
_LONGEST_WAIT = 1.0


class _InForce:
    """A rule, and what it has done so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._random = random.Random(rule.seed)  # noqa: S311  to be the same in every run
        #: Until when what has been let through keeps the line from one party to another.
        self._busy: dict[tuple[int, int], float] = {}

    def passes(self, flow: tuple[int, int], size: int, moment: float) -> float | None:
        """Return when a frame that comes at a moment has passed; None if it never does."""
        rule = self.rule
        if rule.drop or (rule.loss and self._random.random() < rule.loss):
            return None
        if rule.bandwidth:
            begin = max(moment, self._busy.get(flow, moment))
            if begin - moment > _LONGEST_WAIT:
                return None
            moment = self._busy[flow] = begin + size / rule.bandwidth
        return moment + rule.delay


class Fate:
    """The rules in force, by name; each frame passes by all that concern it, in the order in which they began."""

    def __init__(self) -> None:
        self._rules: dict[str, _InForce] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def begin(self, name: str, rule: Rule) -> None:
        """Have a rule be in force; one that is already stays as it is."""
        self._rules.setdefault(name, _InForce(rule))

    def end(self, name: str) -> None:
        """Have a rule be in force no more, if it was."""
        self._rules.pop(name, None)

    def end_all(self) -> None:
        """Have no rule be in force."""
        self._rules.clear()

    def of(self, source: int, destination: int, size: int, now: float) -> float | None:
        """Return when a frame from one party arrives at another; None if it never does. `size` is in bytes."""
        moment: float | None = now
        for one in self._rules.values():
            if moment is not None and one.rule.concerns(source, destination):
                moment = one.passes((source, destination), size, moment)
        return moment
