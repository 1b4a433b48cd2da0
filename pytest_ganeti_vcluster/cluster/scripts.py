"""Scripts of a test's own, put where nodes look for them: hooks, OS definitions, iallocators, restricted commands."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import attrs

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.node_root import DD_OS, OS_SCRIPTS
from pytest_ganeti_vcluster.images.files import write_new

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: A script's text, or a file that is copied.
Script = Union[str, Path]

_HOOKS = "/etc/ganeti/hooks"
_RESTRICTED_COMMANDS = "/etc/ganeti/restricted-commands"
_OS_DEFINITIONS = "/srv/ganeti/os"
_IALLOCATORS = "/srv/ganeti/iallocators"

_EXECUTABLE = 0o755
_PLAIN = 0o644

#: Names that Ganeti runs; it skips others and says nothing (lib/constants.py: EXT_PLUGIN_MASK).
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_PHASES = ("pre", "post")

#: How a logical unit names its hooks.
_HOOKS_OF_UNIT = re.compile(r"^  HPATH = \"([a-z-]+)\"$", re.MULTILINE)
#: Hooks of no logical unit (lib/hooksmaster.py: RunConfigUpdate).
_CONFIG_UPDATE = "config-update"


@attrs.frozen
class Scripts:
    """Puts scripts onto the nodes of a cluster; `VirtualCluster.scripts` gives it.

    They go onto all nodes that there are now, or onto `nodes` (names, or nodes) only; one of the same name is replaced.
    A node that is added later has none of them. Paths on this machine come back, in the order of the nodes.

    A script is a `Path`, which is copied as it is, or a text: its indentation is taken off, and where it does not begin
    with "#!" it is a script for `/bin/sh`. Resets undo all of it, snapshots carry it. `SpecError` tells of a name
    that Ganeti would pass over in silence.
    """

    _cluster: VirtualCluster = attrs.field(repr=False)

    def add_hook(
        self,
        operation: str,
        phase: str,
        script: Script,
        *,
        name: str = "50-test",
        nodes: Sequence[VirtualNode | str] | None = None,
    ) -> list[Path]:
        """Add a hook, `name`, to those of an operation such as "instance-add" in a phase, "pre" or "post".

        Of several hooks the names tell the order. "config-update" are hooks that run on the master after an operation
        that has written the configuration as a whole, such as "group-add"; they have no phase but "post".
        """
        if phase not in _PHASES:
            raise _impossible("phase", phase, _PHASES)
        known = [*operations_with_hooks(self._cluster.ganeti), _CONFIG_UPDATE]
        if operation not in known:
            raise _impossible("operation", operation, known)
        if (operation, phase) == (_CONFIG_UPDATE, "pre"):
            raise _impossible("phase", phase, ("post",))
        return self._put(f"{_HOOKS}/{operation}-{phase}.d", name, script, nodes)

    def add_watcher_hook(
        self, script: Script, *, name: str = "50-test", nodes: Sequence[VirtualNode | str] | None = None
    ) -> list[Path]:
        """Add a hook that `ganeti-watcher` runs whenever it runs on a node."""
        return self._put(f"{_HOOKS}/watcher", name, script, nodes)

    def add_iallocator(
        self, name: str, script: Script, *, nodes: Sequence[VirtualNode | str] | None = None
    ) -> list[Path]:
        """Add an iallocator. Ganeti runs it on the master, with the path of a file that has its request in JSON."""
        return self._put(_IALLOCATORS, name, script, nodes)

    def add_restricted_command(
        self, name: str, script: Script, *, nodes: Sequence[VirtualNode | str] | None = None
    ) -> list[Path]:
        """Add a command for `gnt-node restricted-command`."""
        return self._put(_RESTRICTED_COMMANDS, name, script, nodes)

    def add_os(
        self,
        name: str,
        *,
        create: Script | None = None,
        rename: Script | None = None,
        export: Script | None = None,
        import_: Script | None = None,
        verify: Script | None = None,
        variants: Iterable[str] = ("default",),
        parameters: Mapping[str, str] | None = None,
        api_versions: Iterable[int] = (20,),
        nodes: Sequence[VirtualNode | str] | None = None,
    ) -> list[Path]:
        """Add an OS definition; its folders come back.

        Scripts that are not given are those of `dd`, the definition that each node has. `parameters` are names and what
        to say of them; without `variants` it has none.
        """
        given = dict(zip(OS_SCRIPTS, (create, import_, export, rename, verify)))
        scripts = {file: DD_OS / file if script is None else script for file, script in given.items()}
        listed = {
            "ganeti_api_version": map(str, api_versions),
            "variants.list": variants,
            "parameters.list": (f"{one} {told}" for one, told in (parameters or {}).items()),
        }
        texts = {file: "".join(f"{line}\n" for line in lines) for file, lines in listed.items()}
        if not texts["variants.list"]:
            del texts["variants.list"]
        folders = self._paths(_OS_DEFINITIONS, name, nodes)
        for folder in folders:
            _remove(folder)
            folder.mkdir()
            for file, script in scripts.items():
                write_new(folder / file, _content(script), _EXECUTABLE)
            for file, text in texts.items():
                write_new(folder / file, text.encode(), _PLAIN)
        return folders

    def copy_os(
        self, folder: Path, name: str | None = None, *, nodes: Sequence[VirtualNode | str] | None = None
    ) -> list[Path]:
        """Copy an OS definition from a folder of this machine, under its own name or another; links are followed."""
        folders = self._paths(_OS_DEFINITIONS, name or folder.name, nodes)
        for target in folders:
            _remove(target)
            shutil.copytree(folder, target)
        return folders

    def _put(
        self, folder: str, name: str, script: Script, nodes: Sequence[VirtualNode | str] | None
    ) -> list[Path]:
        paths = self._paths(folder, name, nodes)
        content = _content(script)
        for path in paths:
            _remove(path)
            path.parent.mkdir(mode=_EXECUTABLE, parents=True, exist_ok=True)
            write_new(path, content, _EXECUTABLE)
        return paths

    def _paths(self, folder: str, name: str, nodes: Sequence[VirtualNode | str] | None) -> list[Path]:
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"{name!r} is no name for a script: Ganeti would not run it",
                cure="use letters, digits, _ and -, without a suffix such as .sh",
            )
        cluster = self._cluster
        chosen = (
            cluster.nodes
            if nodes is None
            else [cluster.node(one) if isinstance(one, str) else one for one in nodes]
        )
        return [node.path(f"{folder}/{name}") for node in chosen]


def operations_with_hooks(ganeti: GanetiInstallation) -> list[str]:
    """Name what hooks may be of, as the directories of hooks are named, by what stands in Ganeti's logical units."""
    sources = (ganeti.share / "ganeti/cmdlib").rglob("*.py")
    found = {
        name for source in sources for name in _HOOKS_OF_UNIT.findall(source.read_text(encoding="utf-8"))
    }
    # A cluster that there is was initialized before anybody could add a hook.
    return sorted(found - {"cluster-init"})


def _content(script: Script) -> bytes:
    if isinstance(script, Path):
        return script.read_bytes()
    text = textwrap.dedent(script).lstrip("\n")
    return (text if text.startswith("#!") else f"#!/bin/sh\n{text}").encode()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _impossible(field: str, value: str, valid: Iterable[str]) -> SpecError:
    return SpecError(f"{field}={value!r} is not possible", cure=f"give one of {', '.join(valid)}")
