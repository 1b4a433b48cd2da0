"""Which image fits a spec: a digest of everything that shapes the files of a fresh cluster."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

import pytest_ganeti_vcluster
from pytest_ganeti_vcluster.cluster.making.sites import taken_from_machine
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.images.info import ImageInfo, ImageKey
from pytest_ganeti_vcluster.settings import Settings

#: Rooms of ours whose sources shape what is in an image, how it is kept, and what is done to it in a clone.
_ROOMS = ("inside", "ganeti", "engines", "cluster", "images")

#: Fields of a spec that choose engine and installation, which are told by themselves; all others count.
_CHOOSING = {"engine", "needs", "ganeti"}

#: Left out of folders: what Python compiles, at any time.
_COMPILED = "__pycache__"

_DIGITS = 16


def image_key(spec: ClusterSpec, installation: GanetiInstallation, settings: Settings) -> ImageKey:
    """Tell which image fits a spec here. Costs a few milliseconds: files are looked at, not read.

    A Ganeti that is built or installed again into the same place counts as another, as does one whose single files
    were changed; so does any change of our own sources. Root folder, addresses and password do not: an image has
    placeholders for these; nor does what nodes report of themselves, which is told each clone. Raises
    `EngineUnavailable`.
    """
    spec = spec.without_capacities()
    engine = choose_engine(spec.engine, settings.engine, spec.needs)
    folders = [installation.share, installation.lib]
    facts = {
        "host": os.uname().nodename,
        "version": _own_version(),
        "sources": own_sources(),
        "ganeti": installation.version,
        "prefix": str(installation.prefix),
        "folders": [str(folder) for folder in folders],
        "build": build_of(folders),
    }
    wanted = [field.name for field in attrs.fields(ClusterSpec) if field.name not in _CHOOSING]
    ingredients = {
        **{name: fact for name, fact in facts.items() if name != "host"},
        # All of its paths: some are in scripts of the nodes.
        "installation": attrs.evolve(installation, origin=""),
        "python": _look(installation.python),
        "user": [os.geteuid(), os.getegid()],
        "engine": engine,
        "machine": taken_from_machine(engine, installation),
        "spec": {name: getattr(spec, name) for name in wanted},
    }
    text = json.dumps(_plain(ingredients), sort_keys=True)
    label = _label(spec, installation, engine)
    return ImageKey(hashlib.sha256(text.encode()).hexdigest()[:_DIGITS], label, facts)


def of_no_use(info: ImageInfo) -> str:
    """Say why no run of now will ever ask for an image; empty where one may."""
    facts = info.facts
    if facts.get("sources") != own_sources():
        return f"was made by another pytest-ganeti-vcluster ({facts.get('version', 'unknown')})"
    if facts.get("host") != os.uname().nodename:
        # The folder is shared, and that host's Ganeti cannot be seen from here.
        return ""
    folders = [Path(folder) for folder in facts.get("folders", ())]
    if not all(folder.is_dir() for folder in folders):
        return f"its Ganeti is gone from {facts.get('prefix')}"
    if facts.get("build") != build_of(folders):
        return f"its Ganeti in {facts.get('prefix')} has changed"
    return ""


def build_of(folders: Iterable[Path]) -> str:
    """Tell which build of Ganeti is in its folders: by size and time of each file, without reading any."""
    looks = [(str(path), _look(path)) for folder in folders for path in _files(folder)]
    return hashlib.sha256(json.dumps(looks).encode()).hexdigest()[:_DIGITS]


def own_sources() -> str:
    """Give a digest of those of our sources that shape images; they are read again only when one has changed."""
    home = Path(pytest_ganeti_vcluster.__file__).parent
    paths = [path for room in _ROOMS for path in _files(home / room)]
    return _digest(tuple((path, *_look(path)) for path in paths), home)


@functools.lru_cache(maxsize=1)
def _digest(looks: tuple[tuple[Path, int, int], ...], home: Path) -> str:
    # Of what is in them: the same sources in two places make the same images.
    digest = hashlib.sha256()
    for path, _, _ in looks:
        data = path.read_bytes()
        digest.update(f"{path.relative_to(home)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:_DIGITS]


@functools.lru_cache(maxsize=1)
def _own_version() -> str:
    try:
        return importlib.metadata.version("pytest-ganeti-vcluster")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _files(folder: Path) -> Iterator[Path]:
    """Give all files below a folder, in a fixed order; none where it is not there."""
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name != _COMPILED)
        yield from (Path(parent, name) for name in sorted(files))


def _look(path: Path) -> tuple[int, int]:
    """Size and time of a file, links followed; zeros where there is none.

    Not the time of its inode: that changes when a container or a cache is unpacked, and the file does not.
    """
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _plain(value: Any) -> Any:
    """Give a value as JSON has it, whatever the order of its sets; `TypeError` for one that JSON cannot tell."""
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(inner) for inner in value), key=json.dumps)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _label(spec: ClusterSpec, installation: GanetiInstallation, engine: str) -> str:
    parts = [f"Ganeti {installation.version}", attrs.evolve(spec, engine=None, ganeti=None, needs=()).label]
    # The one that is everywhere needs no mention.
    parts += [f"engine {engine}"] if engine != "loopback" else []
    return ", ".join(parts)
