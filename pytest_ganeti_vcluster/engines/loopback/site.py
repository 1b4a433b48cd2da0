"""A cluster's place on loopback addresses: leased addresses, names by nss_wrapper, ssh by an unprivileged sshd."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_ganeti_vcluster.engines.base import NodeSite, SiteTools
from pytest_ganeti_vcluster.engines.loopback import names, sshd
from pytest_ganeti_vcluster.engines.loopback.lease import Lease
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.keeper.client import Keeper

DOMAIN = "vc"

#: Names that are there from the start, so that `gnt-instance add` needs no preparation.
READY_INSTANCE_NAMES = 60


class LoopbackSite:
    """See `engines.base.Site`. `cluster_name` is the full name that belongs to the cluster's address."""

    engine = "loopback"
    capabilities: frozenset[str] = frozenset()
    domain = DOMAIN
    ssh_port = sshd.PORT

    def __init__(
        self, *, keeper: Keeper, lease: Lease, root: Path, tools: SiteTools, cluster_name: str, token: str
    ) -> None:
        self._keeper = keeper
        self._lease = lease
        self._root = root
        self._tools = tools
        self._token = token
        self._folder = root / "engine"
        self._folder.mkdir(mode=0o700)
        self.cluster_name = cluster_name
        self._hosts = names.Hosts(self._folder)
        self._extra_names = 0
        (self._folder / "passwd").write_text(names.passwd_text(root), encoding="utf-8")
        (self._folder / "group").write_text(names.group_text(), encoding="utf-8")
        self._hosts.set_many(
            {
                cluster_name: (self.cluster_ip, cluster_name, cluster_name.split(".", maxsplit=1)[0]),
                **{
                    f"instance{number}.{DOMAIN}": (
                        lease.instance_ip(number),
                        f"instance{number}.{DOMAIN}",
                        f"instance{number}",
                    )
                    for number in range(1, READY_INSTANCE_NAMES + 1)
                },
            }
        )
        self._ssh = sshd.SshServers(keeper, self._folder, tools, self._common_environment())

    @property
    def cluster_ip(self) -> str:
        """The address that belongs to the cluster's name."""
        return str(self._lease.cluster_ip)

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

    def start(self) -> None:
        """Make the keys, and start the sshd of the first nodes."""
        self._ssh.make_keys()
        self._serve_ssh(1)

    def node(self, name: str, index: int) -> NodeSite:
        """Make node number `index` known, and reachable by ssh once its root folder is there."""
        address = str(self._lease.node_ip(index))
        short = name.split(".", maxsplit=1)[0]
        self._hosts.set_node(address, name, *([short] if short != name else []))
        site = NodeSite(name, index, address, self._root / name)
        if self._ssh.host_key.exists():
            self._serve_ssh(index)
        self._ssh.by_address.mkdir(exist_ok=True)
        self._ssh.attach(address, site.root)
        return site

    def forget(self, name: str) -> None:
        """Take a name back, and with a node's name its logins."""
        address = self._hosts.address(name)
        self._hosts.remove(name)
        if address is not None:
            self._ssh.detach(address)

    def knows(self, name: str) -> bool:
        """Whether a name is known, a node's or any other."""
        return self._hosts.address(name) is not None

    def add_name(self, name: str) -> str:
        """Make a further name known and return its address; the same if it is known."""
        known = self._hosts.address(name)
        if known is not None:
            return known
        try:
            address = str(self._lease.instance_ip(READY_INSTANCE_NAMES + self._extra_names + 1))
        except SpecError as error:
            raise SpecError(
                f"no address is left for the name {name!r}: {self._extra_names} names were added already",
                cure=f"use names again, or instance1 to instance{READY_INSTANCE_NAMES}, which are there anyway",
            ) from error
        self._extra_names += 1
        short = name.split(".", maxsplit=1)[0]
        self._hosts.set(
            address, name, *([short] if self._hosts.address(short) is None and short != name else [])
        )
        return address

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

    def _serve_ssh(self, index: int) -> None:
        number, nodes = sshd.serving(index)
        self._ssh.ensure(number, [str(self._lease.node_ip(one)) for one in nodes])
