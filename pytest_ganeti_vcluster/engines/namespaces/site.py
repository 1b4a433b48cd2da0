"""A cluster of machines: a network of its own, in which each node has namespaces of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

from pytest_ganeti_vcluster.engines import stopping
from pytest_ganeti_vcluster.engines.base import (
    BOOT_ID,
    DOMAIN,
    FROZEN,
    NOBODY,
    OOB_PROGRAM,
    SHARED_PLACE,
    SHARED_STORAGE,
    Command,
    Machine,
    NodeSite,
    SiteTools,
)
from pytest_ganeti_vcluster.engines.capabilities import CAPABILITIES
from pytest_ganeti_vcluster.engines.hardware import read_bridges
from pytest_ganeti_vcluster.engines.loopback.names import Hosts
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan
from pytest_ganeti_vcluster.engines.namespaces import kernel_view
from pytest_ganeti_vcluster.engines.namespaces.addresses import ADDRESSES
from pytest_ganeti_vcluster.engines.namespaces.cluster_network import ClusterNetwork
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.engines.namespaces.furnishing import furnish
from pytest_ganeti_vcluster.engines.namespaces.layers import NO_LAYERS, Layers
from pytest_ganeti_vcluster.engines.namespaces.machine import FOLDERS, INTERFACE, Config
from pytest_ganeti_vcluster.engines.namespaces.outlets import Outlets
from pytest_ganeti_vcluster.engines.namespaces.own_programs import PATH, outer_environment, own_program
from pytest_ganeti_vcluster.engines.namespaces.porter import WAY_OUT
from pytest_ganeti_vcluster.engines.namespaces.shown_hardware import ShownHardware
from pytest_ganeti_vcluster.engines.namespaces.switch_faults import SwitchFaults
from pytest_ganeti_vcluster.engines.namespaces.way_out import WayOut
from pytest_ganeti_vcluster.engines.site_names import SiteNames, aliases
from pytest_ganeti_vcluster.errors import BootFailed, KeeperError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import locked, replace_text

#: Of the first block: what is outside the cluster, and its nodes' name server.
_OUTSIDE = 254

#: Seconds that the network, a node or an outlet may take to come up.
_TIMEOUT = 60.0
_PAUSE = 0.005

#: Nodes that are booted at a time.
_AT_ONCE = 4

_ENTERING = ("--mount", "--net", "--uts", "--ipc", "--pid")


class NamespacesSite(SiteNames):
    """See `engines.base.Site`. `cluster_name` is the full name that belongs to the cluster's address.

    Only what is in its folder tells how it is, and the processes that stand there: so any process may attach to it.
    """

    engine = "namespaces"
    capabilities = CAPABILITIES["namespaces"]
    has_machines = True
    domain = DOMAIN
    ssh_port = 22
    master_netdev = INTERFACE

    def __init__(
        self,
        *,
        keeper: Keeper,
        plan: AddressPlan,
        root: Path,
        tools: SiteTools,
        cluster_name: str,
        token: str,
        layers: Layers = NO_LAYERS,
    ) -> None:
        self._keeper = keeper
        self._root = root
        self._tools = tools
        self._layers = layers
        self._token = token
        self._folder = root / "engine"
        super().__init__(plan, Hosts(self._folder), cluster_name)
        self._network = ClusterNetwork(self._folder / "network.sock")
        self._control = self._folder / "control.sock"
        self.network_faults = SwitchFaults(self._control, root, self._hosts, self._run_in)
        self._outlets = Outlets(keeper, self._folder, self._network.path)
        self._outside = str(plan.blocks[0][_OUTSIDE])
        self._hardware = ShownHardware(self._folder, self._run_in, self._show_storage)
        self._way_out = WayOut(
            keeper, self._folder, self._network.path, self._outside, root / OOB_PROGRAM, token
        )
        self.host_key = self._folder / "ssh_host_rsa_key"
        self.admin_key = self._folder / "id_ed25519"

    def create(self) -> None:
        """Make the site of a new cluster: its folder, the cluster's name and those of instances."""
        self._folder.mkdir(mode=0o700)
        self._give_first_names()

    def check(self) -> None:
        """Raise `KeeperError` unless there is a site that was made."""
        if not self._hosts.path.exists():
            raise KeeperError(
                f"{self._root} has no cluster in it that runs: {self._hosts.path} is not there",
                cure="attach to a cluster that runs; `ganeti-vcluster gc` removes what dead ones left",
            )

    @property
    def lease(self) -> AddressPlan:
        """The addresses."""
        return self._plan

    def passwd(self, node: NodeSite) -> str:
        """Text of the node's passwd file."""
        return (node.root / "etc/passwd").read_text(encoding="utf-8")

    # The network

    def start(self, *, wait: bool = True) -> None:
        """Make the keys that are not there, and start the network; `wait_ready` waits if not `wait`."""
        prefix = ADDRESSES.prefixlen
        places = (self._network.path, self._control, self._hosts.path)
        child = self._keeper.spawn(
            [*own_program("switch"), *map(str, places), f"{self._outside}/{prefix}"],
            env=outer_environment(),
            stdout=self._log("switch"),
        )
        replace_text(self._folder / "switch.json", json.dumps(child.identity.to_json()))
        self._way_out.open()
        for path, options in (
            (self.host_key, ("-t", "rsa", "-b", "2048")),
            (self.admin_key, ("-t", "ed25519")),
        ):
            if not path.exists():
                program = str(self._tools.ssh_keygen)
                argv = [program, "-q", *options, "-N", "", "-C", "root@vcluster", "-f", str(path)]
                self._run(argv, f"make an ssh key: {shlex.join(argv)}")
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the network is there. Raises `BootFailed`."""
        deadline = time.monotonic() + _TIMEOUT
        while not self._network.path.exists():
            if not self._switch().is_alive() or time.monotonic() > deadline:
                raise BootFailed(
                    "the network of the cluster did not come up",
                    seen=self._log("switch").read_text(errors="replace")[-2000:],
                    cure="run `ganeti-vcluster doctor`, which tries it step by step",
                )
            time.sleep(_PAUSE)

    def reach(self, address: str, port: int) -> str:
        """Return HOST:PORT of an outlet: a port of this machine from which connections are passed on."""
        return f"127.0.0.1:{self._outlets.port(address, port)}"

    # Nodes

    def node(self, name: str, index: int) -> NodeSite:
        """Make node number `index` known."""
        [site] = self.nodes([(name, index)])
        return site

    def nodes(self, wanted: Sequence[tuple[str, int]], *, wait: bool = True) -> list[NodeSite]:  # noqa: ARG002
        """Make nodes known, each given by name and number; they come up later."""
        sites = [self.site_of(name, index) for name, index in wanted]
        self._hosts.set_nodes({site.name: (site.ip, site.name, *aliases(site.name)) for site in sites})
        return sites

    def site_of(self, name: str, index: int) -> NodeSite:
        """Return the site of a node by its name and number, and change nothing."""
        plan = self._plan
        root = self._root / name
        elsewhere = [(place, root / inner) for inner, place in FOLDERS if place != f"/{inner}"]
        return NodeSite(
            name,
            index,
            plan.node_ip(index),
            root,
            plan.secondary_ip(index),
            self._network,
            (*sorted(elsewhere, reverse=True), (SHARED_PLACE, self._root / SHARED_STORAGE)),
        )

    def furnish(self, node: NodeSite) -> None:
        """Make the node's root folder, with what a machine has before any program comes."""
        furnish(
            node,
            name_server=self._outside,
            domain=DOMAIN,
            host_key=self.host_key,
            admin_key=self.admin_key,
            sftp_server=self._layers.program(self._tools.sftp_server),
            sshd_helpers=self._tools.sshd_helpers,
        )

    def bring_up(self, node: NodeSite, more: str = "") -> None:
        """Boot the node, unless it is up: return when it answers ssh. Raises `BootFailed`.

        `more` is an address with prefix length that it has as well, as Ganeti would set it up.
        """
        if FirstProcess.living(node.root) is not None:
            return
        self.wait_ready()
        config = Config(
            name=node.name,
            root=str(node.root),
            number=node.index,
            link=_link(node),
            control=str(self._control),
            hardware_address="02:00:{:02x}:{:02x}:{:02x}:{:02x}".format(*IPv4Address(node.ip).packed),
            addresses=[f"{address}/{ADDRESSES.prefixlen}" for address in node.addresses],
            bridges=read_bridges(node.root),
            sshd=str(self._layers.program(self._tools.sshd)),
            layers=self._layers.options,
            boot_id=f"/{BOOT_ID.removeprefix('var/')}",
            covers=[*self._hardware.covers(node), *self._layers.covers],
            master_ip=more,
        )
        argv = [
            *self._entering(self._switch().pid, ("--net",)),
            *own_program("machine"),
            json.dumps(config._asdict()),
        ]
        first = FirstProcess.note(node.root, int(self._run(argv, f"boot {node.name}")))
        if not first.wait_settled(_TIMEOUT):
            raise BootFailed(f"{node.name} has gone down again", cure="close the cluster and take a new one")
        self._hardware.fit_booted(node, first.identity.pid)

    def command(self, node: NodeSite, argv: Sequence[str]) -> Command | None:
        """Return what runs `argv` in the node's namespaces; None where it is down."""
        first = FirstProcess.living(node.root)
        if first is None:
            return None
        entering = self._entering(first.identity.pid, _ENTERING)
        if node.is_frozen:
            argv = stopping.waiting(f"/{FROZEN.removeprefix('var/')}", argv)
        return Command(
            [*entering, "/usr/bin/env", "--chdir=/root", *argv], Path("/"), bool(self._layers.folders)
        )

    def seen_path(self, node: NodeSite, inner: str) -> str:  # noqa: ARG002
        """Return the path: the node has it."""
        return inner

    def fit_hardware(self, node: NodeSite) -> None:
        """Have the node, if it is up, be what its root declares. Raises `EngineUnavailable`, `BootFailed`."""
        first = FirstProcess.living(node.root)
        if first is not None:
            self._hardware.fit(node, first.identity.pid)

    @property
    def oob_program(self) -> str:
        """What has the cluster's `OOB_PROGRAM` run outside, for whoever is on a node."""
        return WAY_OUT

    def environment(self, node: NodeSite) -> dict[str, str]:  # noqa: ARG002
        """Return what root finds on every machine."""
        return {
            "LANG": "C.UTF-8",
            "PATH": PATH,
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/bash",
            "HOME": "/root",
            "VCLUSTER_TOKEN": self._token,
        }

    def end_processes(self, node: NodeSite) -> None:
        """End every process of the node at once: it is down then, and off the network. Raises `KeeperError`."""
        first = FirstProcess.living(node.root)
        if first is None:
            return
        first.end()
        # The kernel would take its time, and answer for a machine that is not there any more.
        entering = self._entering(self._switch().pid, ("--net",))
        self._keeper.run([*entering, "ip", "link", "delete", _link(node)], env=outer_environment())

    def freeze(self, node: NodeSite) -> None:
        """Stop every process of a node that is on, logins too, and those that come to it. Raises `KeeperError`."""
        first = FirstProcess.living(node.root)
        if first is not None:
            (node.root / FROZEN).touch()
            stopping.freeze(first.others, node.name)

    def thaw(self, node: NodeSite) -> None:
        """Have every process of a node go on; nothing where it is not frozen. Raises `KeeperError`."""
        if node.is_frozen:
            (node.root / FROZEN).unlink()
            first = FirstProcess.living(node.root)
            if first is not None:
                stopping.thaw(first.others, node.name)

    def follow_power(self, holders: Mapping[str, str] = NOBODY) -> None:
        """Have nodes that are on be up, and those that are off be down. Raises `BootFailed`, `KeeperError`.

        `holders`: see `engines.base.Site`.
        """
        with locked(self._folder / "follow-power.lock", timeout=_TIMEOUT):
            sites = [
                self.site_of(name, self._index(address)) for name, address in self._hosts.nodes().items()
            ]
            for site in sites:
                if not site.is_on:
                    self.end_processes(site)
            waiting = [site for site in sites if site.is_on and site.root.exists()]
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                list(threads.map(lambda site: self.bring_up(site, holders.get(site.name, "")), waiting))
                list(threads.map(self.fit_hardware, waiting))

    def machine(self, node: NodeSite) -> Machine | None:
        """Tell how a node is; None where it is down."""
        first = FirstProcess.living(node.root)
        if first is None:
            return None
        return Machine(
            first.standing() | self._hardware.processes(node), kernel_view.look(first.identity.pid)
        )

    def holds(self, node: NodeSite, address: str) -> bool:
        """Whether the node's interface has an address now, such as the master IP."""
        command = self.command(node, ["ip", "-oneline", "-4", "address", "show", "dev", INTERFACE])
        if command is None:
            return False
        outcome = self._keeper.run(command.argv, env=self.environment(node), timeout=_TIMEOUT)
        return f" {address}/" in outcome.stdout.decode(errors="replace")

    # Inner

    def _index(self, address: str) -> int:
        return next(
            number for number in range(1, self._plan.nodes + 1) if self._plan.node_ip(number) == address
        )

    def _switch(self) -> ProcessIdentity:
        return ProcessIdentity.from_json(
            json.loads((self._folder / "switch.json").read_text(encoding="ascii"))
        )

    @staticmethod
    def _entering(pid: int, namespaces: Sequence[str]) -> list[str]:
        """Return what makes a command run in namespaces of a process; the user namespace is always one of them."""
        program = shutil.which("nsenter", path=PATH) or "nsenter"
        # As root of that namespace we are who we are outside: nothing is to be changed.
        return [program, f"--target={pid}", "--user", "--preserve-credentials", *namespaces, "--"]

    def _run_in(self, pid: int, argv: Sequence[str], given: str, where: Sequence[str] = _ENTERING) -> None:
        """Run a command, with an input, on the node whose first process is `pid`. Raises `BootFailed`."""
        self._run([*self._entering(pid, where), *argv], shlex.join(argv), given)

    def _show_storage(self, pid: int, options: Sequence[str]) -> int:
        argv = [*self._entering(self._switch().pid, ()), *own_program("storage"), str(pid), *options]
        return int(self._run(argv, "give file storage a size"))

    def _run(self, argv: Sequence[str], what: str, given: str = "") -> str:
        outcome = self._keeper.run(argv, env=outer_environment(), stdin=given.encode(), timeout=_TIMEOUT)
        if outcome.returncode:
            raise BootFailed(
                f"could not {what}",
                seen=(outcome.stderr or outcome.stdout).decode(errors="replace")[-2000:],
                cure="run `ganeti-vcluster doctor`, which tries it step by step",
            )
        return outcome.stdout.decode()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _link(node: NodeSite) -> str:
    """Return the name by which the switch knows a node."""
    return f"node{node.index}"
