"""A Ganeti of which single files are others, on whichever engine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Protocol

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.engines.namespaces.site import NamespacesSite
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.settings import Settings


class BrokenGaneti(Protocol):
    """A Ganeti that is `original`, but for what was put in the place of its files."""

    @property
    def original(self) -> GanetiInstallation:
        """What it is but for that."""

    def replace(self, original: Path, text: str) -> object:
        """Put a program in the place of a file."""

    def real(self, original: Path) -> str:
        """Return the path by which a program put in its place can run the original."""

    def build(self, settings: Settings) -> None:
        """Build a cluster of one node that runs it, and close it."""


@attrs.frozen
class InstallationCopy:
    """A prefix of links to the files of an installation, of which single ones may be replaced."""

    prefix: Path
    original: GanetiInstallation

    @classmethod
    def make(cls, prefix: Path, original: GanetiInstallation) -> InstallationCopy:
        """Make one in a folder that is not there yet."""
        copy = cls(prefix, original)
        for folder in (original.share, original.lib):
            for parent, _, files in os.walk(folder):
                # Folders are real ones, those of compiled Python too: what is written lands in the copy.
                target = copy.path(Path(parent))
                target.mkdir(parents=True)
                for name in files:
                    (target / name).symlink_to(Path(parent, name).resolve())
        return copy

    def path(self, original: Path) -> Path:
        """Where a file or folder of the original is in the copy."""
        series = self.original.series
        for folder, name in ((self.original.share, "share"), (self.original.lib, "lib")):
            if original.is_relative_to(folder):
                return self.prefix / "usr" / name / "ganeti" / series / original.relative_to(folder)
        raise AssertionError(f"{original} is no file of {self.original}")

    def replace(self, original: Path, text: str) -> Path:
        """Put a program in the place of a file; its path."""
        path = self.path(original)
        path.unlink()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def remove(self, original: Path) -> Path:
        """Take a file away; where it was."""
        path = self.path(original)
        path.unlink()
        return path

    def real(self, original: Path) -> str:
        """See `BrokenGaneti`."""
        return str(original)

    def build(self, settings: Settings) -> None:
        """See `BrokenGaneti`."""
        build_cluster(ClusterSpec(nodes=1), attrs.evolve(settings, ganeti=(str(self.prefix),))).close()


@attrs.frozen
class MountedGaneti:
    """The machine's Ganeti, of which nodes that are machines see other files: mounted over as soon as they are up."""

    original: GanetiInstallation
    _monkeypatch: pytest.MonkeyPatch
    _files: dict[Path, str] = attrs.field(factory=dict)

    def replace(self, original: Path, text: str) -> None:
        """See `BrokenGaneti`."""
        self._files[original.resolve()] = text

    def real(self, original: Path) -> str:
        """See `BrokenGaneti`."""
        return f"/tmp/real/{original.resolve().name}"

    def build(self, settings: Settings) -> None:
        """See `BrokenGaneti`."""
        bring_up = NamespacesSite.bring_up

        def up(site: NamespacesSite, node: NodeSite, *more: str) -> None:
            bring_up(site, node, *more)
            self._mount(site, node)

        self._monkeypatch.setattr(NamespacesSite, "bring_up", up)
        build_cluster(ClusterSpec(nodes=1), settings).close()

    def _mount(self, site: NamespacesSite, node: NodeSite) -> None:
        lines = ["set -e", "mkdir -p /tmp/real"]
        for original, text in self._files.items():
            broken = node.root / "tmp" / f"broken-{original.name}"
            broken.write_text(text, encoding="utf-8")
            broken.chmod(0o755)
            real = self.real(original)
            lines += [f"touch {real}", f"mount --bind {original} {real}"]
            lines += [f"mount --bind /tmp/{broken.name} {original}"]
        command = site.command(node, ["sh", "-c", "\n".join(lines)])
        assert command is not None
        subprocess.run(command.argv, env=site.environment(node), timeout=60, check=True)
