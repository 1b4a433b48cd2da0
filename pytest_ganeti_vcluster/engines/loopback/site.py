"""A cluster's place on loopback addresses: leased addresses, names by nss_wrapper, ssh by an unprivileged sshd."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_ganeti_vcluster.engines import stopping
from pytest_ganeti_vcluster.engines.base import (
    DOMAIN,
    FROZEN,
    NOBODY,
    OFF,
    OOB_PROGRAM,
    SHARED_PLACE,
    SHARED_STORAGE,
    Command,
    NodeSite,
    SiteTools,
)
from pytest_ganeti_vcluster.engines.capabilities import CAPABILITIES
from pytest_ganeti_vcluster.engines.loopback import names, sshd
from pytest_ganeti_vcluster.engines.loopback.lease import Lease
from pytest_ganeti_vcluster.engines.loopback.master_ip import HOLDS, MasterIp, words
from pytest_ganeti_vcluster.engines.loopback.network_faults import NoNetworkFaults
from pytest_ganeti_vcluster.engines.loopback.node_processes import NodeProcesses
from pytest_ganeti_vcluster.engines.loopback.probe import listening_on
from pytest_ganeti_vcluster.engines.loopback.silent_logins import SilentLogins
from pytest_ganeti_vcluster.engines.site_names import SiteNames, aliases
from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.locking import locked


class LoopbackSite(SiteNames):
    """See `engines.base.Site`. `cluster_name` is the full name that belongs to the cluster's address."""

    engine = "loopback"
    capabilities = CAPABILITIES["loopback"]
    network_faults = NoNetworkFaults()
    has_machines = False
    domain = DOMAIN
    ssh_port = sshd.PORT
    master_netdev = "lo"

    def __init__(
        self, *, keeper: Keeper, lease: Lease, root: Path, tools: SiteTools, cluster_name: str, token: str
    ) -> None:
        self._keeper = keeper
        self._lease = lease
        self._root = root
        self._tools = tools
        self._token = token
        self._folder = root / "engine"
        super().__init__(lease, names.Hosts(self._folder), cluster_name)
        self._master_ip = MasterIp(keeper, root, self._folder / "relay.log")
        self._ssh = sshd.SshServers(keeper, self._folder, tools, self._common_environment())
        self._silent = SilentLogins(keeper, self._folder, sshd.PORT)

    @classmethod
    def create(
        cls, *, keeper: Keeper, lease: Lease, root: Path, tools: SiteTools, cluster_name: str, token: str
    ) -> LoopbackSite:
        """Make the site of a new cluster in `root`: its folder, its users, the cluster's name and those of instances.

        Who has ssh keys already puts them at `host_key` and `admin_key` before `start`.
        """
        site = cls(keeper=keeper, lease=lease, root=root, tools=tools, cluster_name=cluster_name, token=token)
        site._make()
        return site

    @classmethod
    def attach(
        cls, *, keeper: Keeper, lease: Lease, root: Path, tools: SiteTools, cluster_name: str, token: str
    ) -> LoopbackSite:
        """Return the site of a cluster that runs already; nothing is made or started. Raises `KeeperError`."""
        site = cls(keeper=keeper, lease=lease, root=root, tools=tools, cluster_name=cluster_name, token=token)
        if not site._hosts.path.exists():
            raise KeeperError(
                f"{root} has no cluster in it that runs: {site._hosts.path} is not there",
                cure="attach to a cluster that runs; `ganeti-vcluster gc` removes what dead ones left",
            )
        return site

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700)
        (self._folder / "passwd").write_text(names.passwd_text(self._root), encoding="utf-8")
        (self._folder / "group").write_text(names.group_text(), encoding="utf-8")
        self._give_first_names()

    @property
    def lease(self) -> Lease:
        """The block of addresses."""
        return self._lease

    @property
    def host_key(self) -> Path:
        """Private ssh host key of all nodes; the public one is beside it."""
        return self._ssh.host_key

    @property
    def admin_key(self) -> Path:
        """Private key by which the nodes' root users may log in before Ganeti has made its own."""
        return self._ssh.admin_key

    def passwd(self, node: NodeSite) -> str:
        """Text of the node's passwd file."""
        return names.passwd_text(node.root / "root")

    def start(self, *, wait: bool = True) -> None:
        """Make the keys that are not there, and start the sshd of the first nodes; `wait_ready` waits if not `wait`."""
        self._ssh.make_keys()
        self._master_ip.start()
        self._serve_ssh([1], wait=wait)

    def wait_ready(self) -> None:
        """Return when every sshd that was started answers, and the master IP where it is held. Raises `DaemonDied`."""
        self._ssh.wait_ready()
        self.follow_master_ip()

    def node(self, name: str, index: int) -> NodeSite:
        """Make node number `index` known, and reachable by ssh once its root folder is there."""
        [site] = self.nodes([(name, index)])
        return site

    def nodes(self, wanted: Sequence[tuple[str, int]], *, wait: bool = True) -> list[NodeSite]:
        """Make nodes known, each given by name and number; else as `node`, and `start` for `wait`."""
        sites = [self.site_of(name, index) for name, index in wanted]
        self._hosts.set_nodes({site.name: (site.ip, site.name, *aliases(site.name)) for site in sites})
        if self._ssh.host_key.exists():
            self._serve_ssh([site.index for site in sites], wait=wait)
        for site in sites:
            self._ssh.attach(site.ip, site.root)
        return sites

    def site_of(self, name: str, index: int) -> NodeSite:
        """Return the site of a node by its name and number, and change nothing."""
        plan = self._lease
        return NodeSite(
            name,
            index,
            plan.node_ip(index),
            self._root / name,
            plan.secondary_ip(index),
            elsewhere=((SHARED_PLACE, self._root / SHARED_STORAGE),),
        )

    def forget(self, name: str) -> None:
        """Take a name back, and with a node's name its logins."""
        address = self._hosts.address(name)
        super().forget(name)
        if address is not None:
            self._ssh.detach(address)

    def put_back(self, hosts: str, nodes: str) -> None:
        """Put back the names of an earlier moment (texts of `engine/hosts` and `engine/nodes`), and their logins."""
        super().put_back(hosts, nodes)
        now = {address: name for name, address in self._hosts.nodes().items()}
        for address in self._ssh.attached() - now.keys():
            self._ssh.detach(address)
        for address, name in now.items():
            self._ssh.attach(address, self._root / name)

    def command(self, node: NodeSite, argv: Sequence[str]) -> Command | None:
        """Return what runs `argv` on the node: that itself, as the environment makes the node."""
        if not node.is_on:
            return None
        return Command(
            stopping.waiting(node.root / FROZEN, argv) if node.is_frozen else argv, node.root / "root"
        )

    def furnish(self, node: NodeSite) -> None:
        """Do nothing: all of a node's root is for Ganeti."""

    def bring_up(self, node: NodeSite) -> None:
        """Do nothing: sshd serves a node from when its name is known."""

    def end_processes(self, node: NodeSite) -> None:
        """End every process of the node at once, logins too. Raises `KeeperError` for one that cannot be ended."""
        self._processes(node).end()

    def seen_path(self, node: NodeSite, inner: str) -> str:
        """Return where the path is on this machine, of which the node is a part."""
        return str(node.path(inner))

    def fit_hardware(self, node: NodeSite) -> None:
        """Do nothing: Ganeti is adapted, and reads the files at each question."""

    @property
    def oob_program(self) -> str:
        """The cluster's `OOB_PROGRAM` itself: nodes can leave themselves."""
        return str(self._root / OOB_PROGRAM)

    def freeze(self, node: NodeSite) -> None:
        """Stop every process of a node that is on, logins too, and those that come to it. Raises `KeeperError`."""
        (node.root / FROZEN).touch()
        stopping.freeze(self._processes(node).identities, node.name)
        self.follow_power()

    def thaw(self, node: NodeSite) -> None:
        """Have every process of a node go on; nothing where it is not frozen. Raises `KeeperError`."""
        if node.is_frozen:
            (node.root / FROZEN).unlink()
            self.follow_power()
            stopping.thaw(self._processes(node).identities, node.name)

    def _processes(self, node: NodeSite) -> NodeProcesses:
        return NodeProcesses(self._keeper, node, self._ssh.command(node.ip))

    def machine(self, node: NodeSite) -> None:
        """Return nothing: a node is no machine."""

    def follow_power(self, holders: Mapping[str, str] = NOBODY) -> None:  # noqa: ARG002  written in a file here
        """Have nodes that are on be reachable by ssh, and the master IP where it is held.

        Logins to nodes that are off are refused; to those that are frozen they are not answered.

        Raises `DaemonDied`.
        """
        # Whoever looks last says where it is to be listened.
        with locked(self._folder / "follow-power.lock"):
            off, frozen = set(), set()
            for name, address in self._hosts.nodes().items():
                root = self._root / name
                if (root / OFF).exists():
                    self._ssh.detach(address)
                    off.add(address)
                else:
                    self._ssh.attach(address, root)
                    if (root / FROZEN).exists():
                        frozen.add(address)
            self._silent.end_but(frozen)
            for number in self._ssh.numbers():
                addresses = [str(self._lease.node_ip(one)) for one in sshd.served_by(number)]
                wanted = {address: address not in off | frozen for address in addresses}
                self._ssh.listen(number, wanted, others=self._silent.addresses())
            # One that serves nobody else goes on to listen; then what a login runs waits (ganeti/node_root.py).
            self._silent.begin(frozen - listening_on(frozen, sshd.PORT))
        self.follow_master_ip()

    def follow_master_ip(self) -> None:
        """Have the master IP be answered by the node that holds it now, and by none without. Raises `DaemonDied`."""
        self._master_ip.follow(self._root / name for name in self._hosts.nodes())

    def reach(self, address: str, port: int) -> str:
        """Return HOST:PORT: the cluster's addresses are this machine's."""
        return f"{address}:{port}"

    def holds(self, node: NodeSite, address: str) -> bool:
        """Whether master-ip-setup has set up `address` on the node."""
        return address in words(node.root / HOLDS)

    def environment(self, node: NodeSite) -> dict[str, str]:
        """Variables that put a process onto the node."""
        return {
            **self._common_environment(),
            "GANETI_ROOTDIR": str(node.root),
            "GANETI_HOSTNAME": node.name,
            "NSS_WRAPPER_HOSTNAME": node.name,
            "NSS_WRAPPER_PASSWD": str(node.root / "etc" / "passwd"),
            "HOME": str(node.root / "root"),
            "TMPDIR": str(node.root / "tmp"),
        }

    def _common_environment(self) -> dict[str, str]:
        environment = {
            "LANG": "C.UTF-8",
            "PATH": os.defpath,
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/bash",
            "VCLUSTER_TOKEN": self._token,
            "LD_PRELOAD": str(self._tools.nss_wrapper),
            "NSS_WRAPPER_HOSTS": str(self._hosts.path),
            "NSS_WRAPPER_PASSWD": str(self._folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(self._folder / "group"),
            "NSS_WRAPPER_MAX_HOSTENTS": str(names.MAX_HOST_ENTRIES),
        }
        if self._tools.library_path:
            environment["LD_LIBRARY_PATH"] = ":".join(map(str, self._tools.library_path))
        return environment

    def _serve_ssh(self, indexes: Iterable[int], *, wait: bool) -> None:
        for number, nodes in dict(map(sshd.serving, indexes)).items():
            self._ssh.ensure(number, [str(self._lease.node_ip(one)) for one in nodes], wait=False)
        if wait:
            self._ssh.wait_ready()
