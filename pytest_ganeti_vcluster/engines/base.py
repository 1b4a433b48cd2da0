"""What an engine is: how a virtual node gets its address, its name, its files and its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Protocol

import attrs

from pytest_ganeti_vcluster.engines.network import MachineNetwork, Network
from pytest_ganeti_vcluster.engines.network_rules import Rule
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity


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


#: What the names of a cluster end with.
DOMAIN = "vc"

#: Is in the root folder of a node that is switched off.
OFF = "powered-off"

#: Below a node's root: what the kernel of a node of its own would tell in /proc/sys/kernel/random/boot_id.
BOOT_ID = "var/run/vcluster-boot-id"

#: Below a node's root: is there while its processes are stopped.
FROZEN = "var/run/vcluster-frozen"


#: No node of a cluster, and nothing of any.
NOBODY: Mapping[str, str] = MappingProxyType({})


#: Below a cluster's folder: what switches nodes on and off, and itself runs on none.
OOB_PROGRAM = "farm/oob"

#: Shared file storage, which is one folder for all nodes: below the cluster's folder, and where nodes have it.
SHARED_STORAGE = "shared/srv/ganeti/shared-file-storage"
SHARED_PLACE = "/srv/ganeti/shared-file-storage"


@attrs.frozen
class NodeSite:
    """A virtual node as its engine made it: full name, number (from 1), IP address and root folder.

    `secondary_ip` is its second address, empty where the nodes of the cluster have one only; its addresses are in
    `network`. `elsewhere` are folders of the node that are not where their names say below its root: name, and place
    on this machine, innermost first.
    """

    name: str
    index: int
    ip: str
    root: Path
    secondary_ip: str = ""
    network: Network = attrs.field(factory=MachineNetwork, repr=False)
    elsewhere: tuple[tuple[str, Path], ...] = attrs.field(default=(), repr=False)

    def path(self, inner: str) -> Path:
        """Return where a path of the node is on this machine."""
        wanted = PurePosixPath("/", inner)
        for name, place in self.elsewhere:
            if wanted.is_relative_to(name):
                return place / wanted.relative_to(name)
        return self.root / inner.lstrip("/")

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

    @property
    def is_frozen(self) -> bool:
        """Whether its processes are stopped."""
        return (self.root / FROZEN).exists()


@attrs.frozen
class Machine:
    """How a node that is a machine of its own is, beside its files, less all that was started on it since it came up.

    `processes` are what it stands on, `kernel` is what the kernel holds for it: devices, addresses, routes, mounts.
    """

    processes: frozenset[ProcessIdentity]
    kernel: frozenset[str] = attrs.field(repr=False)


class Plan(Protocol):
    """Which address of a cluster is for what; nodes are counted from 1."""

    @property
    def blocks(self) -> tuple[IPv4Network, ...]:
        """The networks that the addresses are of."""

    @property
    def spare_ips(self) -> tuple[str, ...]:
        """Addresses that nothing of ours uses: for renames, and for what must not answer."""

    def node_ip(self, number: int) -> str:
        """The address of a node."""

    def instance_ip(self, number: int) -> str:
        """The address of an instance, counted from 1."""


class Names(Protocol):
    """The names of a cluster, which any process may change: a hosts file and a list of the nodes."""

    path: Path
    nodes_path: Path

    def nodes(self) -> dict[str, str]:
        """Return the addresses of all nodes by canonical name."""

    def set(self, address: str, *names: str) -> None:
        """Give `address` to `names`, the first of which is canonical."""


class NetworkFaults(Protocol):
    """What can be wrong with a cluster's network, for nodes that come later, too. Parties are nodes by their index."""

    def begin(self, name: str, rule: Rule) -> None:
        """Have a rule be in force. Raises `EngineUnavailable` where there is no such thing."""

    def end(self, name: str) -> None:
        """Have it be in force no more, if it is."""

    def end_all(self) -> None:
        """Have no rule be in force, whichever process began it."""


class Site(Protocol):
    """The part of one cluster that its engine makes: addresses, names, ssh. Made by an engine, ended by the keeper."""

    cluster_name: str

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What tests may need of an engine and have here, such as "partition"."""

    @property
    def has_machines(self) -> bool:
        """Whether nodes are machines of their own, with the paths that Ganeti was built for: it runs unmodified."""

    @property
    def network_faults(self) -> NetworkFaults:
        """What can be wrong with the cluster's network."""

    @property
    def domain(self) -> str:
        """What all names of the cluster end with."""

    @property
    def ssh_port(self) -> int:
        """Port on which every node answers ssh."""

    @property
    def master_netdev(self) -> str:
        """The interface of a node to which the master IP is added."""

    @property
    def cluster_ip(self) -> str:
        """The address that belongs to the cluster's name."""

    @property
    def lease(self) -> Plan:
        """The addresses."""

    @property
    def hosts(self) -> Names:
        """All names of the cluster."""

    @property
    def host_key(self) -> Path:
        """Private ssh host key of all nodes; the public one is beside it."""

    @property
    def admin_key(self) -> Path:
        """Private key by which the nodes' root users may log in before Ganeti has made its own."""

    def passwd(self, node: NodeSite) -> str:
        """Text of the node's passwd file."""

    def node(self, name: str, index: int) -> NodeSite:
        """Return the site of node number `index` (from 1) and make its name known."""

    def nodes(self, wanted: Sequence[tuple[str, int]], *, wait: bool = True) -> list[NodeSite]:
        """Make nodes known, each given by name and number; else as `node`, and `start` for `wait`."""

    def site_of(self, name: str, index: int) -> NodeSite:
        """Return the site of a node by its name and number, and change nothing."""

    def forget(self, name: str) -> None:
        """Take a name back."""

    def knows(self, name: str) -> bool:
        """Whether a name is known, a node's or any other."""

    def add_name(self, name: str) -> str:
        """Make a further name known, such as an instance's, and return its address; the same if it is known."""

    def add_cluster_name(self, name: str) -> str:
        """Make a further name for the cluster known and return its address; the same if it is known."""

    def put_back(self, hosts: str, nodes: str) -> None:
        """Put back the names of an earlier moment: the texts of the two files of `hosts`."""

    def environment(self, node: NodeSite) -> dict[str, str]:
        """Variables that put a process onto the node, or that it finds there."""

    def command(self, node: NodeSite, argv: Sequence[str]) -> Command | None:
        """Return what has to be run here to run `argv` on the node, in its root user's home; None where it is down."""

    def furnish(self, node: NodeSite) -> None:
        """Put into a node's root folder what the engine has there, where it is more than Ganeti's."""

    def bring_up(self, node: NodeSite) -> None:
        """Have a node whose root folder has just been made be there for others. Raises `BootFailed`."""

    def seen_path(self, node: NodeSite, inner: str) -> str:
        """Return the path by which processes of the node find a path of the node."""

    def fit_hardware(self, node: NodeSite) -> None:
        """Have the node, if it is up, be what the files of `engines.hardware` say. Raises `VClusterError`."""

    @property
    def oob_program(self) -> str:
        """The path, on every node, of what runs the cluster's `OOB_PROGRAM` with its own arguments."""

    def end_processes(self, node: NodeSite) -> None:
        """End every process of the node at once, logins too."""

    def freeze(self, node: NodeSite) -> None:
        """Stop every process of a node that is on, logins too, and those that come to it. Raises `KeeperError`."""

    def thaw(self, node: NodeSite) -> None:
        """Have every process of a node go on; nothing where it is not frozen. Raises `KeeperError`."""

    def follow_power(self, holders: Mapping[str, str] = NOBODY) -> None:
        """Have nodes that are on be reachable, those that are off not, and those that are frozen silent.

        `holders` are names of nodes that have an address more (with prefix length) if they are machines that come up:
        the master IP, as if Ganeti had set it up there.
        """

    def machine(self, node: NodeSite) -> Machine | None:
        """Tell how a machine is; None for a node that is none, or is down."""

    def reach(self, address: str, port: int) -> str:
        """Return where processes of this machine reach a TCP port of the cluster, as HOST:PORT."""

    def holds(self, node: NodeSite, address: str) -> bool:
        """Whether Ganeti has set up an address, such as the master IP, on the node."""

    def start(self, *, wait: bool = True) -> None:
        """Start what serves all nodes, such as sshd; with `wait` false, `wait_ready` waits for it."""

    def wait_ready(self) -> None:
        """Return when what was started answers."""


@attrs.frozen
class Command:
    """What runs a command on a node: arguments, and the folder to start it in.

    `has_own_programs`: programs of the node are not all on this machine.
    """

    argv: Sequence[str]
    folder: Path
    has_own_programs: bool = False
