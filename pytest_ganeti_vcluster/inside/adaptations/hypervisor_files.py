"""Files that hypervisor parameters name: kernels, images, programs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _nodes_own(place: Place, hvparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the paths of files that this node has in its root; others stay as they are."""
    found = dict(hvparams)
    for name, value in hvparams.items():
        if isinstance(value, str) and os.path.isabs(value) and os.path.exists(place.below_node_root(value)):
            found[name] = place.below_node_root(value)
    return found


def _looked_for_in_node_root(module: Any, place: Place) -> None:
    validate = module.ValidateHVParams
    verify_hypervisors = module._VerifyHypervisors
    verify_parameters = module._VerifyHvparams
    information = module._GetHvInfo

    constants = module.constants
    kvm = constants.KVM_PATH

    @contextlib.contextmanager
    def own_kvm() -> Iterator[None]:
        # Ganeti 3.1 asks it for its version, whatever path the parameters have.
        constants.KVM_PATH = _nodes_own(place, {"kvm_path": kvm})["kvm_path"]
        try:
            yield
        finally:
            constants.KVM_PATH = kvm

    def ValidateHVParams(hvname: str, hvparams: Mapping[str, Any]) -> None:
        with own_kvm():
            validate(hvname, _nodes_own(place, hvparams))

    def _VerifyHypervisors(
        what: Any, vm_capable: bool, result: Any, all_hvparams: Mapping[str, Any], *rest: Any
    ) -> None:
        own = {name: _nodes_own(place, hvparams) for name, hvparams in all_hvparams.items()}
        verify_hypervisors(what, vm_capable, result, own, *rest)

    def _VerifyHvparams(what: Mapping[str, Any], *rest: Any) -> None:
        key = constants.NV_HVPARAMS
        if key in what:
            own = [(source, hvname, _nodes_own(place, hvparams)) for source, hvname, hvparams in what[key]]
            what = {**what, key: own}
        with own_kvm():
            verify_parameters(what, *rest)

    def _GetHvInfo(name: str, hvparams: Mapping[str, Any] | None, *rest: Any) -> Any:
        return information(name, hvparams and _nodes_own(place, hvparams), *rest)

    module.ValidateHVParams = ValidateHVParams
    module._VerifyHypervisors = _VerifyHypervisors
    module._VerifyHvparams = _VerifyHvparams
    module._GetHvInfo = _GetHvInfo


ADAPTATIONS = (
    Adaptation(
        name="hypervisor-files",
        module="ganeti.backend",
        targets=(
            "ValidateHVParams",
            "_VerifyHypervisors",
            "_VerifyHvparams",
            "_GetHvInfo",
            "constants.KVM_PATH",
            "constants.NV_HVPARAMS",
        ),
        what="A file that a hypervisor parameter names (a kernel, /usr/bin/kvm) is looked for in the node's root first,"
        " then on the machine.",
        why="Each node has its own; only root can put a kernel into the machine's /boot.",
        apply=_looked_for_in_node_root,
    ),
)
