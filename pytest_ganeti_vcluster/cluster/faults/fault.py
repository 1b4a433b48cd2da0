"""A fault that is in force, and all of them that a cluster has."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Callable, Literal, TypeVar

import attrs

from pytest_ganeti_vcluster.errors import HealFailed

_Fault = TypeVar("_Fault", bound="Fault")

#: What becomes of a fault: it is in force; it was lifted; it has ended by itself; a reset of its cluster has undone it.
Change = Literal["begun", "lifted", "passed", "reset"]


@attrs.frozen
class Recipe:
    """What another process has to know to lift a fault: a kind that `faults.kept` has, and details for JSON."""

    kind: str
    details: Mapping[str, Any] = attrs.field(repr=False)


class Fault:
    """Something that was done to a cluster and is in force until it is lifted; a context manager that lifts it.

    `what` says it for people, such as "node2.vc is cut off". Made by the methods of clusters and nodes.
    """

    def __init__(
        self,
        what: str,
        undo: Callable[[], None],
        faults: Faults,
        *,
        reset_undoes: bool,
        still: Callable[[], bool],
        recipe: Recipe | None = None,
    ) -> None:
        self.what = what
        #: How other processes lift it, where it is to outlive this one.
        self.recipe = recipe
        #: Whether `VirtualCluster.reset` undoes it, as it undoes whatever becomes of files and daemons.
        self.reset_undoes = reset_undoes
        #: Whether what was done still is so, whoever may have undone it meanwhile.
        self.still = still
        #: When it began, and when it was lifted: seconds since the epoch.
        self.began = time.time()
        self.lifted: float | None = None
        #: What ended the block that it was in force for, where that was an error: the class of it.
        self.ended_by = ""
        self._undo = undo
        self._faults = faults

    def __repr__(self) -> str:
        return f"<Fault {self.what}{'' if self.in_force else ' (lifted)'}>"

    def __enter__(self: _Fault) -> _Fault:  # noqa: PYI019  typing.Self comes with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ended_by = "" if kind is None else kind.__name__
        self.lift()

    @property
    def in_force(self) -> bool:
        """Whether it was neither lifted nor has passed otherwise, as when a node is switched on."""
        return self in self._faults.in_force

    def lift(self) -> None:
        """Undo it, and return when that is done; nothing happens where it is lifted already.

        Where undoing fails, whatever that raises is raised, and the fault is still in force.
        """
        self._faults.lift(self, self._undo)


class Faults:
    """The faults of one cluster that this process has made and not lifted."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._in_force: list[Fault] = []
        #: All that there ever were, for reports.
        self.history: list[Fault] = []
        #: Called with a fault and what has become of it, in the thread in which that was done or seen.
        self.listeners: list[Callable[[Fault, Change], None]] = []

    @property
    def in_force(self) -> list[Fault]:
        """Those in force, oldest first."""
        with self._lock:
            # What has passed does not come back: if it is so again, that is another fault.
            passed = [one for one in self._in_force if not one.still()]
            for fault in passed:
                fault.lifted = time.time()
                self._in_force.remove(fault)
            left = list(self._in_force)
        self._tell(passed, "passed")
        return left

    def begin(
        self,
        what: str,
        do: Callable[[], None],
        undo: Callable[[], None],
        *,
        reset_undoes: bool = False,
        still: Callable[[], bool] = lambda: True,
        recipe: Recipe | None = None,
    ) -> Fault:
        """Make a fault: `do` it, and have it be in force. Where doing fails, `undo` is tried, and the error raised.

        `still` tells whether it is so, where it may also pass without being lifted; `recipe` how others can `undo` it.
        """
        fault = Fault(what, undo, self, reset_undoes=reset_undoes, still=still, recipe=recipe)
        return self.enforce(fault, do, undo)

    def enforce(self, fault: _Fault, do: Callable[[], None], undo: Callable[[], None]) -> _Fault:
        """As `begin`, for a fault of a kind of its own, which was made with these faults as its `faults`."""
        with self._lock:
            self._in_force.append(fault)
            self.history.append(fault)
            try:
                do()
            except BaseException:
                # Half of it may be done. What cannot be undone either stays, for `heal` to tell of.
                self._undo(fault, undo)
                raise
        self._tell([fault], "begun")
        return fault

    def lift(self, fault: Fault, undo: Callable[[], None]) -> None:
        """Undo one that is in force; for `Fault.lift`."""
        with self._lock:
            lifts = fault in self.in_force
            if lifts:
                self._undo(fault, undo)
        if lifts:
            self._tell([fault], "lifted")

    def _undo(self, fault: Fault, undo: Callable[[], None]) -> None:
        undo()
        fault.lifted = time.time()
        self._in_force.remove(fault)

    def heal(self, *, but_what_reset_undoes: bool = False) -> None:
        """Lift all, the newest first, even where one cannot be; perhaps not those of a reset. Raises `HealFailed`."""
        failures = []
        lifting = [one for one in self.in_force if not (but_what_reset_undoes and one.reset_undoes)]
        for fault in reversed(lifting):
            try:
                fault.lift()
            except Exception as error:  # noqa: BLE001  whatever it is, the others are to be lifted, and it is told
                failures.append(f"{fault.what}: {type(error).__name__}: {error}")
        if failures:
            raise HealFailed(
                f"{len(failures)} faults could not be lifted",
                seen="\n".join(failures),
                cure="close the cluster and take a new one",
            )

    def forget(self, *, reset_undoes: bool = False) -> None:
        """Lift nothing, and know of none any more; with `reset_undoes`, of those only that a reset undoes."""
        with self._lock:
            before = self._in_force
            self._in_force = [fault for fault in before if reset_undoes and not fault.reset_undoes]
            gone = [fault for fault in before if fault not in self._in_force]
        self._tell(gone, "reset")

    def _tell(self, faults: list[Fault], change: Change) -> None:
        for fault in faults:
            for listener in self.listeners:
                listener(fault, change)
