"""A Ganeti installation: found, checked, never touched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti import interpreter
from pytest_ganeti_vcluster.ganeti.tools import find_tools
from pytest_ganeti_vcluster.ganeti.tree import Tree, Unfit, trees, version_key, version_matches
from pytest_ganeti_vcluster.settings import Settings, cache_folder

#: Written last into a fetched installation: what is without it was never finished.
MANIFEST = "installation.json"
SYSTEM_PYTHON = Path("/usr/bin/python3")
_VERSION = re.compile(r"\d+(\.\d+)*(~\w+)?")
_CURE = (
    "run `ganeti-vcluster install`, which fetches a Ganeti without root; `ganeti-vcluster doctor` tells more"
)


@attrs.frozen(kw_only=True)
class GanetiInstallation:
    """One usable Ganeti: where it is, what runs it, and the programs that a cluster of it needs.

    `prefix` is `/` for the system's packages, else a folder of unpacked packages or of
    `make install DESTDIR=`. `version` is full (`3.0.2`), `series` the name of its versioned folders (`3.0`).
    `python` runs Ganeti's Python. `origin` says for people where it came from.

    `share` has the scripts and, in `share/ganeti`, the Python modules; `sbin` the Haskell daemons, `bin`
    htools, `pkglib` daemon-util, `tools` and `iallocators`: all three below `lib`, the versioned folder.
    Programs beside Ganeti are the host's where it has them, else fetched ones. These, and Ganeti's own, need
    `library_path` as their `LD_LIBRARY_PATH` where it is not empty; `sshd` needs the lines `sshd_helpers` in
    its configuration.
    """

    prefix: Path
    version: str
    series: str
    python: Path
    origin: str
    share: Path
    lib: Path
    sbin: Path
    bin: Path
    pkglib: Path
    nss_wrapper: Path
    sshd: Path
    sftp_server: Path
    ssh: Path
    ssh_keygen: Path
    start_stop_daemon: Path
    openssl: Path | None
    ip: Path | None
    socat: Path | None
    sshd_helpers: tuple[str, ...]
    library_path: tuple[Path, ...]

    @property
    def os_folders(self) -> tuple[Path, ...]:
        """Folders with OS definitions, beside a node's own; they may be absent."""
        return (self.share.parent / "os",)

    @property
    def programs(self) -> tuple[Path, ...]:
        """Programs beside Ganeti that its commands call by name, through PATH."""
        found = (self.ssh, self.ssh_keygen, self.start_stop_daemon, self.openssl, self.ip, self.socat)
        return tuple(program for program in found if program is not None)

    @property
    def rapi_client_folder(self) -> Path:
        """Folder of Ganeti's RAPI client: `client.py` in it needs pycurl, and simplejson before 3.1, only."""
        return self.share / "ganeti/rapi"

    def __str__(self) -> str:
        return f"Ganeti {self.version} ({self.origin})"


@attrs.frozen
class Candidate:
    """One place where a Ganeti was looked for: the installation found there, or `why` there is none.

    `version` is known even of one that cannot be used, where there is one at all.
    """

    where: Path
    origin: str
    version: str = ""
    installation: GanetiInstallation | None = None
    why: str = ""


@attrs.frozen
class _Place:
    prefix: Path
    origin: str


def installations_folder() -> Path:
    """Folder that `ganeti-vcluster install` puts installations into, one folder each."""
    return cache_folder() / "installations"


def is_version(text: str) -> bool:
    """Tell whether a value of option `ganeti` is a version rather than a folder or `system`."""
    return _VERSION.fullmatch(text) is not None


def find_installation(settings: Settings, wanted: str | None = None) -> GanetiInstallation:
    """Find the installation to use: the one asked for, else the newest fetched, else the system's.

    `wanted` (version, folder or `system`) is what a cluster's spec asks for; it goes before the first of
    `settings.ganeti`. Raises `GanetiNotFound`, which lists every place looked at and why it does not do.
    """
    rejected = []
    for candidate in _candidates(settings, wanted):
        if candidate.installation is not None:
            return candidate.installation
        rejected.append(candidate)
    asked = _asked(settings, wanted)
    what = f"Ganeti {asked}" if asked and is_version(asked) else "Ganeti"
    where = f", asked for as {asked!r}," if asked and not is_version(asked) else ""
    raise GanetiNotFound(
        f"no usable {what}{where} was found; looked at",
        seen="\n".join(f"{one.where} ({one.origin}): {one.why}" for one in rejected),
        cure=_cure(asked),
    )


def all_installations(settings: Settings) -> list[Candidate]:
    """Look at every place, in the order in which they are tried; for lists, not for finding."""
    seen: dict[Path, _Place] = {}
    for place in [*_named_places(settings), *_fetched_places(), _system_place()]:
        seen.setdefault(place.prefix, place)
    return [found for place in seen.values() for found in _examine(place, lambda _version: True)]


def installation_at(prefix: Path, origin: str) -> GanetiInstallation:
    """Take the newest usable Ganeti below `prefix`; `GanetiNotFound` says what is wrong with it."""
    found = list(_examine(_Place(prefix, origin), lambda _version: True))
    for candidate in found:
        if candidate.installation is not None:
            return candidate.installation
    raise GanetiNotFound(
        f"{prefix} has no usable Ganeti", seen="\n".join(one.why for one in found), cure=_CURE
    )


def _cure(asked: str | None) -> str:
    if asked is not None and is_version(asked):
        return f"run `ganeti-vcluster install {asked}`, which fetches one without root"
    if asked is not None and asked != "system":
        return f"mend {asked}, or ask for no folder and run `ganeti-vcluster install`, which fetches a Ganeti"
    return _CURE


def _asked(settings: Settings, wanted: str | None) -> str | None:
    return wanted if wanted is not None else next(iter(settings.ganeti), None)


def _named_places(settings: Settings) -> list[_Place]:
    return [place for asked in settings.ganeti for place in _asked_places(asked)]


def _asked_places(asked: str | None) -> list[_Place]:
    if asked is None or is_version(asked):
        return []
    if asked == "system":
        return [_system_place()]
    return [_Place(Path(asked).expanduser().absolute(), "the folder asked for")]


def _system_place() -> _Place:
    return _Place(Path("/"), "system packages")


def _fetched_places() -> list[_Place]:
    folder = installations_folder()
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and (path / MANIFEST).is_file()]
    except OSError:
        return []
    return [_Place(path, "fetched packages") for path in sorted(found)]


def _candidates(settings: Settings, wanted: str | None) -> Iterator[Candidate]:
    asked = _asked(settings, wanted)
    places = _asked_places(asked)
    if not places:
        # A test that asks for a version may find it in a folder that the option names.
        places = [*_named_places(settings), *_fetched_places(), _system_place()]
    version = asked if asked is not None and is_version(asked) else ""
    fits: Callable[[str], bool] = lambda found: not version or version_matches(found, version)  # noqa: E731
    for group in _by_origin(places):
        ranked = [_trees_or_reason(place) for place in group]
        ranked.sort(
            key=lambda found: version_key(found[1][0].version) if found[1] else ((), False, ""), reverse=True
        )
        for place, found, reason in ranked:
            yield from _judge(place, found, reason, fits)


def _by_origin(places: Sequence[_Place]) -> list[list[_Place]]:
    groups: dict[str, list[_Place]] = {}
    for place in places:
        groups.setdefault(place.origin, []).append(place)
    return list(groups.values())


def _trees_or_reason(place: _Place) -> tuple[_Place, list[Tree], str]:
    try:
        return place, trees(place.prefix), ""
    except Unfit as reason:
        return place, [], str(reason)
    except OSError as err:
        return place, [], f"cannot be read: {err}"


def _examine(place: _Place, fits: Callable[[str], bool]) -> Iterator[Candidate]:
    return _judge(*_trees_or_reason(place), fits)


def _judge(
    place: _Place, found: Sequence[Tree], reason: str, fits: Callable[[str], bool]
) -> Iterator[Candidate]:
    if reason:
        yield Candidate(place.prefix, place.origin, why=reason)
    for tree in found:
        if not fits(tree.version):
            yield Candidate(place.prefix, place.origin, tree.version, why=f"is Ganeti {tree.version}")
            continue
        try:
            installation = _installation(place, tree)
        except (Unfit, OSError) as unfit:
            yield Candidate(place.prefix, place.origin, tree.version, why=str(unfit))
        else:
            yield Candidate(place.prefix, place.origin, tree.version, installation)


def _installation(place: _Place, tree: Tree) -> GanetiInstallation:
    missing = tree.missing()
    if missing:
        raise Unfit(missing)
    # What was fetched also lends its tools and its Python to a Ganeti that came without.
    lenders = [other.prefix for other in _fetched_places() if other.prefix != place.prefix]
    tools = find_tools([place.prefix, *lenders])
    return GanetiInstallation(
        python=_interpreter(place.prefix, tree, lenders),
        origin=place.origin,
        **attrs.asdict(tree, recurse=False),
        **attrs.asdict(tools, recurse=False),
    )


def _interpreter(prefix: Path, tree: Tree, lenders: Sequence[Path]) -> Path:
    """Find the Python for Ganeti: its own environment's, the scripts', the system's, a fetched Ganeti's."""
    own = _environment_python(prefix)
    # A fetched Ganeti runs with what it was installed with, or not at all: else the fault would be hidden.
    choices = [own] if own is not None else [*_script_python(tree), SYSTEM_PYTHON]
    if own is None:
        choices += [python for python in map(_environment_python, lenders) if python is not None]
    reasons = []
    for python in dict.fromkeys(choices):
        reason = interpreter.unfit_because(python, tree.version)
        if not reason:
            return python
        reasons.append(reason)
    raise Unfit("; ".join(reasons))


def _environment_python(prefix: Path) -> Path | None:
    """Name the private interpreter that the manifest of a fetched installation tells."""
    manifest = prefix / MANIFEST
    if not manifest.is_file():
        return None
    try:
        python = json.loads(manifest.read_text(encoding="utf-8"))["python"]
    except (ValueError, KeyError, TypeError) as err:
        raise Unfit(f"{manifest} cannot be read: {err!r}") from None
    return prefix / str(python)


def _script_python(tree: Tree) -> list[Path]:
    """Read the interpreter of Ganeti's scripts, which `configure` chose."""
    with (tree.share / "gnt-cluster").open("rb") as script:
        words = script.readline().decode(errors="replace").removeprefix("#!").split()
    return [Path(words[0])] if len(words) == 1 and words[0].startswith("/") else []
