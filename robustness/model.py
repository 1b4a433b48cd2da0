"""What may have become of the instances, as far as the answers to operations tell it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from robustness.plan import Operation

#: What came of an operation. Of one that failed, or that nobody has an answer to, all or nothing may be done.
DONE, FAILED, UNKNOWN = "done", "failed", "unknown"


@attrs.frozen
class State:
    """How an instance may be; one that is not there has no other fields."""

    there: bool = False
    running: bool = False
    memory: int = 0
    tags: frozenset[str] = frozenset()

    def after(self, operation: Operation) -> State:
        """Tell how it is when an operation was done; as it is where the operation cannot be done."""
        if operation.kind == "create":
            return self if self.there else State(there=True, running=True, memory=operation.memory)
        made = {
            "remove": State(),
            "stop": attrs.evolve(self, running=False),
            "start": attrs.evolve(self, running=True),
            "modify": attrs.evolve(self, memory=operation.memory),
            "tag": attrs.evolve(self, tags=self.tags | {operation.tag}),
        }
        return made.get(operation.kind, self) if self.there else self

    def amid(self, operation: Operation) -> frozenset[State]:
        """Tell how it may be when an operation was begun, and perhaps not ended."""
        after = self.after(operation)
        if operation.kind == "create" and not self.there:
            # It is made first, and told to run then (lib/cmdlib/instance_create.py, LUInstanceCreate.Exec).
            return frozenset({self, after, attrs.evolve(after, running=False)})
        return frozenset({self, after})

    def allows(self, operation: Operation) -> bool:
        """Whether an operation that was done can have begun so."""
        return self.there != (operation.kind == "create")


class Model:
    """The states that each instance may be in; of operations on one, none begins before the last has ended."""

    def __init__(self) -> None:
        self._possible: dict[str, frozenset[State]] = {}

    def possible(self, name: str) -> frozenset[State]:
        """Return what an instance may be like now."""
        return self._possible.get(name, frozenset({State()}))

    def note(self, operation: Operation, outcome: str) -> str:
        """Take in what came of an operation; say what is wrong with that, empty where it can be."""
        if not operation.instance:
            return ""
        before = self.possible(operation.instance)
        if outcome == DONE:
            fitting = frozenset(one for one in before if one.allows(operation))
            if not fitting:
                # Whatever follows is judged from what was answered.
                self._possible[operation.instance] = frozenset(one.after(operation) for one in before)
                return f"{operation} was done, though the instance was one of {_told(before)}"
            self._possible[operation.instance] = frozenset(one.after(operation) for one in fitting)
        else:
            self._possible[operation.instance] = frozenset().union(*(one.amid(operation) for one in before))
        return ""

    def wrong(self, name: str, found: State) -> str:
        """Say what is wrong with an instance that is so in the end, empty where it may be."""
        if found in self.possible(name):
            return ""
        return f"{name} is {found}, which is none of {_told(self.possible(name))}"


def _told(states: Iterable[State]) -> str:
    return ", ".join(sorted(map(str, states)))
