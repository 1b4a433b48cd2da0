"""What an engine is: how a virtual node gets its address, its name, its files and its processes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs


@attrs.frozen
class Probe:
    """What an engine can do on this machine: `reason` says why, or why not, and `cure` what would change it."""

    available: bool
    reason: str
    cure: str = ""


@attrs.frozen(kw_only=True)
class SiteTools:
    """Programs and libraries that an engine uses beside Ganeti's.

    `sshd_helpers` are lines that sshd needs in its configuration where it was unpacked from a package.
    """

    nss_wrapper: Path
    sshd: Path
    ssh_keygen: Path
    sftp_server: Path
    sshd_helpers: tuple[str, ...] = ()
    library_path: tuple[Path, ...] = ()


#: Is in the root folder of a node that is switched off.
OFF = "powered-off"


@attrs.frozen
class NodeSite:
    """A virtual node as its engine made it: full name, number (from 1), IP address and root folder.

    `secondary_ip` is its second address, empty where the nodes of the cluster have one only.
    """

    name: str
    index: int
    ip: str
    root: Path
    secondary_ip: str = ""

    @property
    def addresses(self) -> list[str]:
        """All its addresses."""
        return [address for address in (self.ip, self.secondary_ip) if address]

    @property
    def off_mark(self) -> Path:
        """A file that is there while the node is switched off."""
        return self.root / OFF

    @property
    def is_on(self) -> bool:
        """Whether the node is switched on."""
        return not self.off_mark.exists()


class Site(Protocol):
    """The part of one cluster that its engine makes: addresses, names, ssh. Made by an engine, ended by the keeper."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What tests may need of an engine and have here, such as "partition"."""

    @property
    def domain(self) -> str:
        """What all names of the cluster end with."""

    @property
    def ssh_port(self) -> int:
        """Port on which every node answers ssh."""

    @property
    def cluster_ip(self) -> str:
        """The address that belongs to the cluster's name."""

    def node(self, name: str, index: int) -> NodeSite:
        """Return the site of node number `index` (from 1) and make its name known."""

    def forget(self, name: str) -> None:
        """Take a name back."""

    def add_name(self, name: str) -> str:
        """Make a further name known, such as an instance's, and return its address; the same if it is known."""

    def environment(self, node: NodeSite) -> dict[str, str]:
        """Variables that put a process onto the node."""

    def end_processes(self, node: NodeSite) -> None:
        """End every process of the node at once, logins too."""

    def follow_power(self) -> None:
        """Have nodes that are on be reachable, and those that are off not."""

    def start(self, *, wait: bool = True) -> None:
        """Start what serves all nodes, such as sshd; with `wait` false, `wait_ready` waits for it."""

    def wait_ready(self) -> None:
        """Return when what was started answers."""
