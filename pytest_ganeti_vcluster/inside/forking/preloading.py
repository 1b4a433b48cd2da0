"""Loading all of Ganeti for a node that does not exist, so that it can be moved to any node that does."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import sys
import threading
import traceback
from typing import Any

from .. import activation
from ..place import Place
from . import imitation
from .allocation import fill_holes
from .names import PasswdPath, is_of_nss_wrapper, kept_above
from .relocation import Relocation
from .warming import warm_up

#: Stands for the node's address; outside of what is leased.
PLACEHOLDER_ADDRESS = "127.254.253.252"

#: What Ganeti takes for the address of a node that the engine does not list.
_LOCALHOST = "127.0.0.1"

_STREAMS = ("stdin", "stdout", "stderr")

#: Imported by many programs when they first need it.
_LATER = (
    "encodings.idna",
    "runpy",
    "traceback",
    "pdb",
    "json",
    "ssl",
    "http.client",
    "urllib.request",
    "queue",
)


class NotFit(Exception):
    """This process, with Ganeti loaded, is not fit to be forked."""


class Preloaded:
    """Ganeti, loaded in this process, ready to be moved to another node after a fork."""

    def __init__(
        self,
        *,
        relocation: Relocation,
        passwd: PasswdPath,
        kept: list[int],
        place: Place,
        site: str,
        search_path: list[str],
    ) -> None:
        #: Descriptors that stay open in every program.
        self.kept = frozenset(kept)
        #: See `allocation`.
        self.filling: list[Any] = []
        self._relocation = relocation
        self._passwd = passwd
        self._place = place
        self._site = site
        self._search_path = search_path
        self._encodings = {name: _encoding(getattr(sys, name)) for name in _STREAMS}
        self._streams = {name: getattr(sys, name) for name in _STREAMS}

    def __len__(self) -> int:
        return len(self._relocation)

    @property
    def cluster_root(self) -> str:
        """Folder of the node roots."""
        return self._place.cluster_root

    def move(self, node_name: str, stub: str) -> None:
        """Become the interpreter that `stub` was started with on a node, all of Ganeti's modules loaded."""
        self._passwd.move(os.environ.get("NSS_WRAPPER_PASSWD", ""))
        streams = imitation.make_streams(self._encodings)
        objects = {id(old): streams[name] for name, old in self._streams.items()}
        for name, stream in streams.items():
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        placeholder = self._place.node_name
        address = self._place.addresses().get(node_name, _LOCALHOST)
        self._relocation.apply({placeholder: node_name, PLACEHOLDER_ADDRESS: address}, objects)
        self._place.stand_in = None
        # An interpreter puts the script's folder first, and a stub the farm's.
        sys.path[:] = [self._site, os.path.dirname(os.path.realpath(stub)), *self._search_path]
        gc.enable()


def preload() -> Preloaded:
    """Load Ganeti. Raises `NotFit`, or `CannotRelocate`."""
    # All is kept; looking for garbage would only take time.
    gc.disable()
    place = activation.activate()
    place.stand_in = PLACEHOLDER_ADDRESS
    site, _folder, *search_path = sys.path
    sys.path.insert(1, os.environ["VCLUSTER_SHARE"])
    passwd = PasswdPath.prepared()
    with kept_above() as kept:
        _import_all()
        _warm_up()
    _check(kept, passwd)
    relocation = Relocation.find(
        [place.node_name, PLACEHOLDER_ADDRESS],
        [getattr(sys, name) for name in _STREAMS],
        skip=imitation.environment_holders(),
    )
    preloaded = Preloaded(
        relocation=relocation, passwd=passwd, kept=kept, place=place, site=site, search_path=search_path
    )
    preloaded.filling = fill_holes()
    return preloaded


def _import_all() -> None:
    import ganeti  # type: ignore[import-not-found]

    for name in _LATER:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(ganeti.__path__, "ganeti.", onerror=_pass_over):
        try:
            importlib.import_module(module.name)
        except Exception:  # noqa: BLE001  whoever needs the module gets the error
            _pass_over(module.name)


def _warm_up() -> None:
    try:
        warm_up()
    except Exception:  # noqa: BLE001  programs do it for themselves then
        print(f"TLS is not tried beforehand: {traceback.format_exc()}", flush=True)  # noqa: T201  the log


def _pass_over(name: str) -> None:
    # A module that only some installations can use; or an adaptation that does not fit, which the boot tells anyway.
    print(f"{name} is not loaded beforehand: {traceback.format_exc(limit=-1)}", flush=True)  # noqa: T201  the log


def _encoding(stream: Any) -> tuple[str, str]:
    return stream.encoding, stream.errors


def _check(kept: list[int], passwd: PasswdPath) -> None:
    """Raise `NotFit` where something is shared after a fork that must not be."""
    if threading.active_count() != 1 or len(os.listdir("/proc/self/task")) != 1:
        raise NotFit(f"a module of Ganeti has started a thread: {threading.enumerate()}")
    for descriptor in kept:
        if not is_of_nss_wrapper(descriptor):
            raise NotFit(f"a module of Ganeti keeps open: {os.readlink(f'/proc/self/fd/{descriptor}')}")
    if not passwd.can_move(os.environ["VCLUSTER_FARM"]):
        raise NotFit("nss_wrapper would read the users of another node")
