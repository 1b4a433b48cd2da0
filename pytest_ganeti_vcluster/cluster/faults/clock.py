"""A node whose clock is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.faults.checking import check_seconds
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.cluster.faults.noded_hook import hook_noded
from pytest_ganeti_vcluster.errors import UserError
from pytest_ganeti_vcluster.inside.adaptations.faults import CLOCK
from pytest_ganeti_vcluster.keeper.locking import replace_text

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def shift_clock(node: VirtualNode, seconds: float) -> Fault:
    """See `FaultsOfNode.shift_clock`."""
    check_seconds("the time by which the clock is shifted", seconds, negative=True)
    if node.is_master:
        raise UserError(
            f"{node.name} is the master, whose clock cannot be shifted: jobs have the machine's time",
            cure="shift the clock of another node; to the master it is the same as if its own went wrong",
        )
    path = node.path(CLOCK)
    if path.exists():
        raise UserError(f"the clock of {node.name} is shifted already", cure="lift that fault first")
    hook_noded(node)
    path.parent.mkdir(parents=True, exist_ok=True)

    return node.cluster.fault_registry.begin(
        f"the clock of {node.name} is {abs(seconds):g} s {'ahead' if seconds > 0 else 'behind'}",
        lambda: replace_text(path, f"{seconds!r}\n"),
        lambda: set_clock_right(node),
        reset_undoes=True,
        still=path.exists,
        recipe=Recipe("clock", {"node": node.name}),
    )


def set_clock_right(node: VirtualNode) -> None:
    """Have the node's clock be the machine's."""
    path = node.path(CLOCK)
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # Other faults may be there.
        path.parent.rmdir()
