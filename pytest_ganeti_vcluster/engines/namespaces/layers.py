"""Folders that are laid over /usr of nodes: a Ganeti that is not installed on the machine is there for them."""

from __future__ import annotations

from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.namespaces.machine import OUTSIDE_MODULES


@attrs.frozen
class Layers:
    """`folders`, the topmost first, and the folder at `OUTSIDE_MODULES`; without folders /usr is the machine's."""

    folders: tuple[Path, ...] = ()
    modules: Path | None = None

    def program(self, path: Path) -> Path:
        """Return where nodes have a program."""
        over = (folder for folder in self.folders if path.is_relative_to(folder))
        return next((Path("/usr", path.relative_to(folder)) for folder in over), path)

    @property
    def options(self) -> str:
        """How it is mounted."""
        return f"lowerdir={':'.join(map(str, [*self.folders, '/usr']))}" if self.folders else ""

    @property
    def covers(self) -> list[list[str]]:
        """What else is to be seen on nodes, and where."""
        return [] if self.modules is None else [[str(self.modules), OUTSIDE_MODULES]]


#: The machine's own Ganeti.
NO_LAYERS = Layers()
