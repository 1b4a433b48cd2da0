"""How a module of Ganeti is adapted: right after it was imported, in memory, or not at all."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Callable

from .place import Place


class AdaptationTargetMissing(ImportError):
    """What an adaptation changes is not in this Ganeti; the import of the module fails with it."""


class Adaptation:
    """One change to one module of Ganeti.

    `module` is its dotted name, `targets` the attributes that are changed or used (dotted, below the module):
    where one of them is missing the import fails, because a cluster that runs half adapted would mislead.
    `what` and `why` are shown to users in the table of differences; `fits` names Ganeti versions.
    """

    def __init__(
        self,
        *,
        name: str,
        module: str,
        targets: Sequence[str],
        what: str,
        why: str,
        apply: Callable[[Any, Place], None],
        fits: str = "3.0, 3.1",
    ) -> None:
        self.name = name
        self.module = module
        self.targets: tuple[str, ...] = tuple(targets)
        self.what = what
        self.why = why
        self.fits = fits
        self._apply = apply

    def apply(self, module: Any, place: Place) -> None:
        """Change `module`; AdaptationTargetMissing where something to change is not there."""
        for target in self.targets:
            found = module
            for part in target.split("."):
                try:
                    found = getattr(found, part)
                except AttributeError:
                    raise AdaptationTargetMissing(
                        f"adaptation {self.name!r} does not fit this Ganeti: {self.module} has no {target}"
                        f" ({getattr(module, '__file__', '?')})"
                    ) from None
        self._apply(module, place)


class _AdaptingLoader(importlib.abc.Loader):
    """Run the module's own loader, then the adaptations."""

    def __init__(self, loader: Any, adaptations: Sequence[Adaptation], place: Place) -> None:
        self._loader = loader
        self._adaptations = adaptations
        self._place = place

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for adaptation in self._adaptations:
            adaptation.apply(module, self._place)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _AdaptingFinder(importlib.abc.MetaPathFinder):
    """Find the modules that adaptations are for, and wrap their loaders."""

    def __init__(self, adaptations: Sequence[Adaptation], place: Place) -> None:
        self.place = place
        self._by_module: dict[str, list[Adaptation]] = {}
        for adaptation in adaptations:
            self._by_module.setdefault(adaptation.module, []).append(adaptation)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = self._by_module.get(fullname)
        if not wanted:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _AdaptingLoader(spec.loader, wanted, self.place)
        return spec


def installed_for() -> Place | None:
    """Return the place that modules are adapted to as they are imported; None where they are not."""
    for finder in sys.meta_path:
        if isinstance(finder, _AdaptingFinder):
            return finder.place
    return None


def install(adaptations: Sequence[Adaptation], place: Place) -> None:
    """Adapt the modules as they are imported from now on."""
    sys.meta_path.insert(0, _AdaptingFinder(adaptations, place))
