"""Faults that outlive the process that began them: those of a cluster that stays, in every process that has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import attrs

from pytest_ganeti_vcluster.cluster.faults.clock import set_clock_right
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults
from pytest_ganeti_vcluster.cluster.faults.files import mend_file
from pytest_ganeti_vcluster.cluster.faults.job_queue import relieve_job_queue
from pytest_ganeti_vcluster.cluster.faults.ledger import Entry, Ledger
from pytest_ganeti_vcluster.cluster.faults.mounts import READ_ONLY, empty_disk, is_aside, make_writable
from pytest_ganeti_vcluster.cluster.faults.noded_hook import is_hooked, unhook_noded
from pytest_ganeti_vcluster.cluster.faults.rpc import end_rpc_fault
from pytest_ganeti_vcluster.errors import UserError
from pytest_ganeti_vcluster.inside.adaptations.faults import CLOCK
from pytest_ganeti_vcluster.inside.rpc_faults import FOLDER

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

_Fault = TypeVar("_Fault", bound=Fault)


@attrs.frozen
class _Undoing:
    """How a fault is lifted, and whether there still is something to be lifted."""

    undo: Callable[[], None]
    still: Callable[[], bool] = lambda: True


_Details = Mapping[str, Any]


def _rpc(node: VirtualNode, details: _Details) -> _Undoing:
    path = node.path(FOLDER) / str(details["file"])
    return _Undoing(lambda: end_rpc_fault(path), path.exists)


def _daemon(node: VirtualNode, details: _Details) -> _Undoing:
    daemon = node.daemon(str(details["daemon"]))
    return _Undoing(daemon.start_again, lambda: not daemon.running)


def _crashed(node: VirtualNode, _details: _Details) -> _Undoing:
    power = node.power
    return _Undoing(power.start, lambda: power.is_on and not power.runs())


#: What is about one node, by the kinds of recipes.
_OF_NODE: Mapping[str, Callable[[VirtualNode, _Details], _Undoing]] = {
    "clock": lambda node, _details: _Undoing(lambda: set_clock_right(node), node.path(CLOCK).exists),
    "crashed": _crashed,
    "daemon": _daemon,
    "disk": lambda node, details: _Undoing(
        lambda: empty_disk(node, str(details["disk"])), lambda: is_aside(node, str(details["disk"]))
    ),
    "file": lambda node, details: _Undoing(lambda: mend_file(node, details)),
    "frozen": lambda node, _details: _Undoing(node.power.thaw, lambda: node.is_frozen),
    "hook": lambda node, _details: _Undoing(lambda: unhook_noded(node), lambda: is_hooked(node)),
    "off": lambda node, _details: _Undoing(node.power.on, lambda: not node.power.is_on),
    "read-only": lambda node, _details: _Undoing(
        lambda: make_writable(node), lambda: is_aside(node, READ_ONLY)
    ),
    "rpc": _rpc,
}

#: What is about the cluster.
_OF_CLUSTER: Mapping[str, Callable[[VirtualCluster, _Details], _Undoing]] = {
    "drained": lambda cluster, _details: _Undoing(lambda: cluster.luxi.set_drain_flag(False)),
    "exhausted": lambda cluster, details: _Undoing(
        lambda: relieve_job_queue(cluster, int(details["before"]))
    ),
    "network": lambda cluster, details: _Undoing(
        lambda: cluster.parts.site.network_faults.end(str(details["name"]))
    ),
}

#: Those that are only there for others: these.
_NEEDED_BY = {"hook": ("clock", "rpc")}


def keep_faults(cluster: VirtualCluster) -> KeptFaults:
    """Have a handle know all faults of its cluster that are written down, and write down those that it begins.

    They are in force until any such handle lifts them: they outlive the process. For clusters that stay. Returns what
    `VirtualCluster.fault_registry` is from then on.
    """
    registry = KeptFaults(cluster)
    cluster.fault_registry = registry
    return registry


class KeptFaults(Faults):
    """The faults of a cluster that are written down in its folder, by whichever process."""

    def __init__(self, cluster: VirtualCluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._ledger = Ledger(cluster.root)
        self._numbers: dict[Fault, int] = {}
        #: Numbers of those that are done: only these can have passed.
        self._done: set[int] = set()

    @property
    def in_force(self) -> list[Fault]:
        """Those in force, oldest first."""
        with self._lock:
            self._read()
            found = super().in_force
            self._strike_out([fault for fault in self._numbers if fault not in found])
            return found

    def number(self, fault: Fault) -> int:
        """Return the number by which one that is in force is known to other processes. Raises `KeyError`."""
        return self._numbers[fault]

    def numbered(self, number: int) -> Fault:
        """Return the fault of a number. Raises `UserError` where none of it is in force."""
        known = {self._numbers[fault]: fault for fault in self.in_force if fault in self._numbers}
        if number not in known:
            raise UserError(
                f"no fault {number} of {self._cluster.name} is in force",
                seen=f"in force: {', '.join(map(str, known)) or 'none'}",
                cure="`ganeti-vcluster fault list` tells them",
            )
        return known[number]

    def enforce(self, fault: _Fault, do: Callable[[], None], undo: Callable[[], None]) -> _Fault:
        """Write it down before it is done: who is killed in the middle leaves what can be lifted.

        Raises `UserError` where the same is in force already.
        """
        if fault.recipe is None:
            return super().enforce(fault, do, undo)
        with self._lock:
            if any(one.recipe == fault.recipe for one in self.in_force):
                raise UserError(f"{fault.what} already", cure="lift that fault first")
            self._numbers[fault] = self._ledger.add(
                fault.what, began=fault.began, reset_undoes=fault.reset_undoes, recipe=fault.recipe
            )
            try:
                super().enforce(fault, do, undo)
            except BaseException:
                if fault not in self._in_force:
                    self._strike_out([fault])
                raise
            self._ledger.finish(self._numbers[fault])
        return fault

    def lift_with_needs(self, fault: Fault) -> None:
        """Lift one, and what was begun only for it. Raises `UserError` for what others need."""
        others = [one for one in self.in_force if one is not fault]
        needing = [one for one in others if _needs(one, fault)]
        if needing:
            numbers = ", ".join(str(self._numbers[one]) for one in needing)
            raise UserError(f"{fault.what}, as other faults need it", cure=f"lift these first: {numbers}")
        fault.lift()
        for one in others:
            if _needs(fault, one) and not any(_needs(other, one) for other in others):
                one.lift()

    def forget(self, *, reset_undoes: bool = False) -> None:
        """Lift nothing, and know of none any more; with `reset_undoes`, of those only that a reset undoes."""
        with self._lock:
            self._read()
            super().forget(reset_undoes=reset_undoes)
            self._strike_out([fault for fault in self._numbers if fault not in self._in_force])

    def _undo(self, fault: Fault, undo: Callable[[], None]) -> None:
        super()._undo(fault, undo)
        self._strike_out([fault])

    def _strike_out(self, faults: list[Fault]) -> None:
        numbers = [self._numbers.pop(fault) for fault in faults if fault in self._numbers]
        if numbers:
            self._ledger.remove(numbers)

    def _read(self) -> None:
        """Know what other processes have begun and lifted."""
        entries = {entry.number: entry for entry in self._ledger.entries()}
        self._done = {entry.number for entry in entries.values() if entry.is_done}
        for fault, number in list(self._numbers.items()):
            if number not in entries:
                del self._numbers[fault]
                if fault in self._in_force:
                    self._in_force.remove(fault)
        known = set(self._numbers.values())
        for number, entry in entries.items():
            if number not in known:
                fault = self._adopt(entry)
                self._numbers[fault] = number
                self._in_force.append(fault)
        self._in_force.sort(key=lambda fault: fault.began)

    def _adopt(self, entry: Entry) -> Fault:
        undoing = self._undoing(entry)
        fault = Fault(
            entry.what,
            undoing.undo,
            self,
            reset_undoes=entry.reset_undoes,
            still=lambda: entry.number not in self._done or undoing.still(),
            recipe=entry.recipe,
        )
        fault.began = entry.began
        return fault

    def _undoing(self, entry: Entry) -> _Undoing:
        kind, details = entry.recipe.kind, entry.recipe.details
        if kind in _OF_CLUSTER:
            return _OF_CLUSTER[kind](self._cluster, details)
        try:
            node = self._cluster.node(str(details["node"]))
        except KeyError:
            # It has left the cluster, and taken this with it.
            return _Undoing(lambda: None, lambda: False)
        return _OF_NODE[kind](node, details)


def _needs(one: Fault, other: Fault) -> bool:
    """Whether a fault is one that another was begun for."""
    if one.recipe is None or other.recipe is None:
        return False
    kinds = _NEEDED_BY.get(other.recipe.kind, ())
    return one.recipe.kind in kinds and one.recipe.details["node"] == other.recipe.details["node"]
