"""RPCs that fail, hang or are late: said by files in a node's root, which its noded reads at each RPC."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import attrs

from pytest_ganeti_vcluster.cluster.faults.checking import check_count, check_seconds, check_text
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults, Recipe
from pytest_ganeti_vcluster.cluster.faults.noded_hook import hook_noded
from pytest_ganeti_vcluster.errors import FaultNotStruck, UserError
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.readiness import log_tail
from pytest_ganeti_vcluster.inside.rpc_faults import FOLDER
from pytest_ganeti_vcluster.keeper.locking import replace_text

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Seconds in which an RPC that is waited for has to come, unless said otherwise.
TIMEOUT = 60.0

_PAUSE = 0.01
_PREFIX = re.compile(r"(call|perspective)_")


class RpcFault(Fault):
    """RPCs of one name to one node fail, hang or are late, until it is lifted; it knows how often it struck."""

    def __init__(
        self,
        what: str,
        undo: Callable[[], None],
        faults: Faults,
        *,
        still: Callable[[], bool],
        rpc: str,
        struck_path: Path,
        log_path: Path,
        recipe: Recipe | None = None,
    ) -> None:
        super().__init__(what, undo, faults, reset_undoes=True, still=still, recipe=recipe)
        #: Name of the RPC, as noded has it.
        self.rpc = rpc
        self._struck_path = struck_path
        self._log_path = log_path
        self._last = 0

    @property
    def struck(self) -> int:
        """How many RPCs it has struck so far."""
        # It is gone when the fault is lifted, or the node reinstalled.
        with contextlib.suppress(FileNotFoundError):
            self._last = len(self._struck_path.read_bytes().splitlines())
        return self._last

    def wait_struck(
        self, timeout: float = TIMEOUT, *, times: int = 1, watch: Callable[[], None] = lambda: None
    ) -> None:
        """Return when it has struck so many times: by then the RPC has failed, hangs, or is being late.

        `watch` is called again and again meanwhile, and what it raises ends the waiting. Raises `FaultNotStruck`
        after `timeout` seconds, or at once where it was lifted.
        """
        deadline = time.monotonic() + timeout
        while self.struck < times:
            watch()
            if not self.in_force or time.monotonic() > deadline:
                why = f"within {timeout:g} s" if self.in_force else "before it was lifted"
                raise FaultNotStruck(
                    f"{self.what}: this has struck {self.struck} times {why}, not {times}",
                    seen=f"end of {self._log_path}:\n{log_tail(self._log_path)}",
                    cure="the log has the RPCs that came; have Ganeti do what makes this one, or wait longer",
                )
            time.sleep(_PAUSE)


@attrs.frozen(kw_only=True)
class RpcWish:
    """What is to become of an RPC; fields as in `inside.rpc_faults`, checked where it `begins`."""

    rpc: str
    kind: str
    text: str = ""
    seconds: float = 0.0
    times: int | None = None
    skip: int = 0
    containing: tuple[str, ...] = ()
    done_first: bool = False

    def said(self, node: str) -> str:
        """Say it for people."""
        manner = {
            "fail": f"fails: {self.text}",
            "hang": "hangs when it is done" if self.done_first else "hangs",
            "delay": f"is answered {self.seconds:g} s late",
        }[self.kind]
        often = "" if self.times is None else " (once)" if self.times == 1 else f" ({self.times} times)"
        return f"RPC {self.rpc} on {node} {manner}{often}"


def begin_rpc_fault(node: VirtualNode, wish: RpcWish) -> RpcFault:
    """Have what is wished for become of RPCs to a node. Raises `UserError` before anything is done."""
    wish = _checked(wish, node.cluster.ganeti)
    hook_noded(node)
    folder = node.path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    # The oldest comes first.
    path = folder / f"{time.time_ns():020d}.json"

    def do() -> None:
        for note in _notes(path):
            note.touch()
        replace_text(path, json.dumps(attrs.asdict(wish)))

    def undo() -> None:
        fault.struck  # noqa: B018  so that it is known afterwards
        end_rpc_fault(path)

    fault = RpcFault(
        wish.said(node.name),
        undo,
        node.cluster.fault_registry,
        still=folder.exists,
        rpc=wish.rpc,
        struck_path=_notes(path)[1],
        log_path=node.daemon("noded").log_path,
        recipe=Recipe("rpc", {"node": node.name, "file": path.name}),
    )
    return node.cluster.fault_registry.enforce(fault, do, undo)


def end_rpc_fault(path: Path) -> None:
    """Have the fault whose file `path` is be no more."""
    for one in (path, *_notes(path)):
        one.unlink(missing_ok=True)
    _remove_if_empty(path.parent)


def _notes(path: Path) -> list[Path]:
    return [path.with_suffix(f".{what}") for what in ("taken", "struck")]


def rpc_names(installation: GanetiInstallation) -> list[str]:
    """Name all RPCs that this Ganeti's noded answers."""
    text = (installation.share / "ganeti/server/noded.py").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^  def perspective_(\w+)\(", text, re.MULTILINE)))


def check_rpc(rpc: str, installation: GanetiInstallation) -> str:
    """Return the name of an RPC as noded has it. Raises `UserError`, with names that are near."""
    name = _PREFIX.sub("", rpc, count=1)
    known = rpc_names(installation)
    if name not in known:
        near = difflib.get_close_matches(name, known) or [one for one in known if name and name in one]
        raise UserError(
            f"{installation} has no RPC {rpc!r}",
            cure=f"use {' or '.join(near)}"
            if near
            else "use one of those in Ganeti's lib/server/noded.py (perspective_...)",
        )
    return name


def _checked(wish: RpcWish, installation: GanetiInstallation) -> RpcWish:
    check_text("the name of the RPC", wish.rpc)
    if wish.times is not None:
        check_count("times", wish.times, least=1)
    check_count("skip", wish.skip, least=0)
    if wish.kind == "delay":
        check_seconds("seconds", wish.seconds)
    if wish.kind == "fail":
        check_text("the text that the RPC is to fail with", wish.text)
    return attrs.evolve(wish, rpc=check_rpc(wish.rpc, installation))


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder of faults, and the one that it is in, where there are none left."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
