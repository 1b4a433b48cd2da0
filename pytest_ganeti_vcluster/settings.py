"""The options, as one table, and the one frozen object that they are read into.

Each option exists as command line `--vcluster-X-Y`, ini `vcluster_x_y` and environment `VCLUSTER_X_Y`; the
first that is given wins, in that order, then the default. `Settings` is made once and passed on.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import attrs

from pytest_ganeti_vcluster.errors import SpecError

#: Never used: the host's own services live here.
RESERVED = ipaddress.IPv4Network("127.0.0.0/16")
DEFAULT_SUBNET = ipaddress.IPv4Network("127.64.0.0/10")
LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")


def _whole_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return parse


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError
    return text == "on"


def _folder(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text).expanduser().absolute()


def _folder_or_off(text: str) -> Path | None:
    return None if text == "off" else _folder(text)


def _subnet(text: str) -> ipaddress.IPv4Network:
    network = ipaddress.IPv4Network(text)
    if not network.subnet_of(LOOPBACK) or network.overlaps(RESERVED) or network.prefixlen > 24:  # noqa: PLR2004
        raise ValueError
    return network


def _ganetis(text: str) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\n]", text) if part.strip()))
    if not asked:
        raise ValueError
    return asked


def default_root() -> Path:
    """Folder in which this user's clusters live; short, because Unix socket paths are."""
    return Path(tempfile.gettempdir()) / f"gvc-{os.getuid()}"


def cache_folder() -> Path:
    """Folder for what is worth keeping between runs: fetched installations, locks."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "ganeti-vcluster"


@attrs.frozen
class Option:
    """One option: its name with dashes, how its text is read, which values there are, and its help."""

    name: str
    parse: Callable[[str], Any]
    valid: str
    help: str
    default: Callable[[], Any]
    default_text: str
    #: The text that its name alone stands for on the command line, where it takes no value there.
    alone: str | None = None
    #: Whether it may be given several times on the command line, which is as with commas between.
    repeats: bool = False

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--vcluster-{self.name}"

    @property
    def ini(self) -> str:
        """Its name in pytest's configuration file."""
        return f"vcluster_{self.field}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"VCLUSTER_{self.field.upper()}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "nodes",
        _whole_number,
        "a whole number, 1 or more",
        "Nodes of a cluster whose test does not say how many.",
        lambda: 3,
        "3",
    ),
    Option(
        "max-nodes",
        _whole_number,
        "a whole number, 1 or more",
        "Tests that ask for more nodes are skipped, with the reason.",
        lambda: None,
        "no limit",
    ),
    Option(
        "ganeti",
        _ganetis,
        'a version ("3.0"), a folder of unpacked packages or of "make install DESTDIR=", or "system"; or several,'
        " with commas between",
        "Which Ganeti to run; of several, each test runs on each.",
        lambda: (),
        "the newest that was fetched, else the system's",
        repeats=True,
    ),
    Option(
        "missing",
        _one_of("fail", "skip"),
        '"fail" or "skip"',
        "What becomes of tests that ask for a cluster where no Ganeti is found.",
        lambda: "fail",
        "fail",
    ),
    Option(
        "engine",
        _one_of("auto", "loopback", "namespaces"),
        '"auto", "loopback" or "namespaces"',
        "How virtual nodes get their addresses, names and processes.",
        lambda: "auto",
        "auto",
    ),
    Option(
        "keep",
        _one_of("never", "failed", "always"),
        '"never", "failed" or "always"',
        "Whose cluster folders are kept when the run ends: nobody's, those of failed tests, all.",
        lambda: "never",
        "never",
    ),
    Option(
        "artifacts",
        _folder,
        "a folder",
        "Where folders go that tell what happened in failed tests: a page, logs, jobs.",
        lambda: None,
        "a folder in pytest's own for temporary files, of which it keeps those of the last three runs",
    ),
    Option(
        "timeout",
        _seconds,
        "seconds, more than 0",
        "How long a cluster may take to come up.",
        lambda: 300.0,
        "300",
    ),
    Option(
        "image-cache",
        _folder_or_off,
        'a folder, or "off"',
        "Where images of ready clusters are kept.",
        lambda: cache_folder() / "images",
        "~/.cache/ganeti-vcluster/images",
    ),
    Option(
        "image-limit",
        _whole_number,
        "MiB, 1 or more",
        "How much the images may take; those that were not used for longest go.",
        lambda: 512,
        "512",
    ),
    Option(
        "fork-server",
        _switch,
        '"on" or "off"',
        "Whether Ganeti's Python programs are forked from one process that has them loaded.",
        lambda: True,
        "on",
    ),
    Option(
        "tls-fix",
        _switch,
        '"on" or "off"',
        "Whether Ganeti is kept from reading the machine's folder of certificates, and session tickets, for every RPC.",
        lambda: True,
        "on",
    ),
    Option(
        "max-clusters",
        _whole_number,
        "a whole number, 1 or more",
        "How many clusters a process of a run keeps for its tests; the least recently used goes.",
        lambda: None,
        "what cores and memory allow",
    ),
    Option(
        "order",
        _one_of("spec", "given"),
        '"spec" or "given"',
        "Whether files whose tests want the same clusters run one after the other, or all in the order given.",
        lambda: "spec",
        "spec",
    ),
    Option(
        "prepare",
        _switch,
        '"on" or "off"',
        "Whether the next test's cluster is made ready in the background while a test runs.",
        lambda: True,
        "on",
    ),
    Option(
        "check",
        _switch,
        '"on" or "off"',
        "Whether after each test its clusters have to be as healthy ones at rest are (`check_invariants`).",
        lambda: False,
        "off",
        alone="on",
    ),
    Option(
        "share",
        _one_of("worker", "run"),
        '"worker" or "run"',
        "Who shares the cluster of fixture `vcluster_session`: the tests of each xdist worker, or of the whole run.",
        lambda: "worker",
        "worker",
    ),
    Option(
        "rapi",
        _one_of("live", "record", "replay", "check"),
        '"live", "record", "replay" or "check"',
        "What fixture `vcluster_rapi` gives: the cluster's RAPI; the same, recorded to cassettes; what is on them, "
        "without a Ganeti; the cluster's RAPI, compared with what is on them.",
        lambda: "live",
        "live",
    ),
    Option(
        "rapi-cassettes",
        _folder,
        "a folder",
        "Where the cassettes of RAPI exchanges are.",
        lambda: None,
        "folders `cassettes` beside the files of the tests",
    ),
    Option(
        "subnet",
        _subnet,
        "a network of loopback addresses in CIDR notation, /24 or larger, outside 127.0.0.0/16",
        "Pool of loopback addresses that clusters lease from.",
        lambda: DEFAULT_SUBNET,
        "127.64.0.0/10",
    ),
    Option(
        "root",
        _folder,
        "a folder with a short path",
        "Folder in which clusters live while they run.",
        default_root,
        "gvc-UID in the temporary folder",
    ),
)


def parse_option(option: Option, text: str, origin: str) -> Any:
    """Read one option's text; `SpecError` names the origin, the value and the valid ones."""
    try:
        return option.parse(text)
    except ValueError:
        raise SpecError(
            f"{origin}: {text!r} is not a value that it can have",
            seen="",
            cure=f"give {option.valid}",
        ) from None


@attrs.frozen(kw_only=True)
class Settings:
    """What a run was told, read once. Fields as in the table of options.

    Of several `ganeti`, the first is that of clusters of which nothing else is said.
    """

    nodes: int = 3
    max_nodes: int | None = None
    ganeti: tuple[str, ...] = ()
    missing: str = "fail"
    engine: str = "auto"
    keep: str = "never"
    artifacts: Path | None = None
    timeout: float = 300.0
    image_cache: Path | None = None
    image_limit: int = 512
    fork_server: bool = True
    tls_fix: bool = True
    max_clusters: int | None = None
    order: str = "spec"
    prepare: bool = True
    check: bool = False
    share: str = "worker"
    rapi: str = "live"
    rapi_cassettes: Path | None = None
    subnet: ipaddress.IPv4Network = DEFAULT_SUBNET
    root: Path = attrs.field(factory=default_root)

    @classmethod
    def read(
        cls,
        flags: Mapping[str, str | None] | None = None,
        ini: Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        prefix: str = "--vcluster-",
    ) -> Settings:
        """Read all options from texts by field name (`flags`, `ini`) and from the environment (default: ours).

        `prefix` is what the names of `flags` begin with where they are given; errors name them so.
        An empty environment variable counts as not given. Raises `SpecError` on the first bad value.
        """
        env = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for option in OPTIONS:
            sources = (
                (f"{prefix}{option.name}", (flags or {}).get(option.field)),
                (f"ini option {option.ini}", (ini or {}).get(option.field)),
                (f"environment variable {option.variable}", env.get(option.variable) or None),
            )
            for origin, text in sources:
                if text is not None:
                    values[option.field] = parse_option(option, text, origin)
                    break
            else:
                values[option.field] = option.default()
        return cls(**values)
