"""What tests do to a node daemon: nothing, unless they have written it down."""

from __future__ import annotations

from typing import Any

from .. import rpc_faults
from ..adapting import Adaptation
from ..place import Place

#: Below a node's root: by how many seconds its clock is ahead.
CLOCK = "/etc/vcluster-faults/clock"


def _rpc_faults(module: Any, place: Place) -> None:
    original = module.NodeRequestHandler.HandleRequest

    def HandleRequest(self: Any, req: Any) -> Any:
        return rpc_faults.answer(
            place.below_node_root(rpc_faults.FOLDER),
            req.request_path.lstrip("/"),
            req.request_body,
            lambda: original(self, req),
            # As for backend.RPCFail.
            lambda text: module.serializer.DumpJson((False, text)),
        )

    module.NodeRequestHandler.HandleRequest = HandleRequest


class _Clock:
    """Python's module `time`, for a node whose clock is wrong."""

    def __init__(self, real: Any, place: Place) -> None:
        self._real = real
        self._place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def time(self) -> float:
        """Return the time of the node, in seconds since the epoch."""
        now: float = self._real.time()
        try:
            with open(self._place.below_node_root(CLOCK), encoding="ascii") as stream:
                return now + float(stream.read())
        except FileNotFoundError:
            return now


def _node_clock(module: Any, place: Place) -> None:
    module.time = _Clock(module.time, place)


ADAPTATIONS = (
    Adaptation(
        name="rpc-faults",
        module="ganeti.server.noded",
        targets=("NodeRequestHandler.HandleRequest", "serializer.DumpJson"),
        what="RPCs that a test wants to fail, to hang or to be late do so; all others are as ever.",
        why="A test cannot do it from outside: RPCs are encrypted, and only noded knows one from another.",
        apply=_rpc_faults,
    ),
    Adaptation(
        name="node-clock",
        module="ganeti.backend",
        targets=("time.time",),
        what="A node whose clock a test has shifted tells a time that is ahead of the machine's, or behind.",
        why="All virtual nodes have the machine's clock, and Linux has no other for parts of a machine.",
        apply=_node_clock,
    ),
)
