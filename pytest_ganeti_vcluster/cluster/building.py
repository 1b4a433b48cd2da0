"""From a spec to a cluster that answers."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.cluster.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import ClusterParts, VirtualCluster
from pytest_ganeti_vcluster.engines.base import SiteTools
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.engines.loopback.lease import Lease, blocks_for
from pytest_ganeti_vcluster.engines.loopback.site import DOMAIN, LoopbackSite
from pytest_ganeti_vcluster.errors import DiskFull, KeeperError, MachineError, VClusterError
from pytest_ganeti_vcluster.ganeti import preflight
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Bootstrap, Timeline
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess, make_rapi_access
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.record import as_disk_full, create_root
from pytest_ganeti_vcluster.settings import Settings, cache_folder

#: Called with one line for people as each stage of a boot begins.
Tell = Callable[[str], None]

#: With less than this left, writes fail.
_FULL_BYTES = 128_000

#: Nodes that may become master later have an address in the RAPI certificate from the start.
_SPARE_NODES = 16


def build_cluster(spec: ClusterSpec, settings: Settings, tell: Tell = lambda _line: None) -> VirtualCluster:
    """Build a cluster of `spec` for real (init, node add) and return it when every daemon answers.

    Whatever goes wrong, before or in the middle, raises one `VClusterError`, and nothing is left: no process, no
    lease, no folder (unless `settings.keep` is "failed" or "always").
    """
    timeline = Timeline()
    choose_engine(spec.engine, settings.engine, spec.needs)
    installation = find_installation(settings, spec.ganeti)
    longest = max(len(f"{node.name}.{DOMAIN}") for node in spec.nodes)
    preflight.check_boot(settings.root, node_name_length=longest, nodes=len(spec.nodes))
    token = secrets.token_hex(16)
    with timeline.stage("keeper"):
        root = create_root(settings.root)
        try:
            keeper = Keeper.start(root, token=token)
        except BaseException:
            remove_root(root)
            raise
    try:
        return _Builder(
            spec=spec,
            settings=settings,
            installation=installation,
            keeper=keeper,
            token=token,
            timeline=timeline,
            tell=tell,
            deadline=time.monotonic() + settings.timeout,
        ).build()
    except BaseException as error:
        # Looked at before the folder goes.
        better = _better_error(error, root)
        told = better or error
        if settings.keep == "failed" and isinstance(told, VClusterError):
            _keep(keeper, told)
        keeper.stop()
        if better is not None:
            raise better from error
        raise


def _keep(keeper: Keeper, error: VClusterError) -> None:
    """Keep the folder of a cluster that did not come up, and say so in its error."""
    with contextlib.suppress(KeeperError):
        keeper.keep_root(True)
        error.cure = f"{error.cure}; the cluster's folder is kept: {keeper.root}".lstrip("; ")


def _better_error(error: BaseException, root: Path) -> VClusterError | None:
    """Say what is behind an error, where it does not say so itself: a full disk shows in a hundred ways."""
    if isinstance(error, OSError) and (disk_full := as_disk_full(error, root)):
        return disk_full
    if isinstance(error, (OSError, VClusterError)) and not isinstance(error, DiskFull):
        room = _room(root)
        if room is not None and _is_full(room):
            return DiskFull(
                f"the disk with {root} is full, and the cluster did not come up",
                seen=str(error),
                cure="make room there, or choose another root folder (--vcluster-root)",
            )
    if isinstance(error, OSError):
        return MachineError(
            f"could not build a cluster in {root}: {error}", cure="run `ganeti-vcluster doctor`"
        )
    return None


def _room(root: Path) -> os.statvfs_result | None:
    try:
        return os.statvfs(root)
    except OSError:
        # The keeper was killed, and its guardian has removed the root.
        return None


def _is_full(room: os.statvfs_result) -> bool:
    return room.f_bavail * room.f_frsize < _FULL_BYTES or bool(room.f_files and not room.f_favail)


@attrs.frozen(kw_only=True)
class _Builder:
    """One boot; the keeper is running and cleans up after it."""

    spec: ClusterSpec
    settings: Settings
    installation: GanetiInstallation
    keeper: Keeper
    token: str
    timeline: Timeline
    tell: Tell
    deadline: float

    def build(self) -> VirtualCluster:
        root = self.keeper.root
        cluster_name = f"{self.spec.name}.{DOMAIN}"
        if self.settings.keep == "always":
            self.keeper.keep_root(True)
        with self.timeline.stage("lease of addresses"):
            lease = Lease.acquire(
                self.keeper,
                self.settings.subnet,
                blocks_for(len(self.spec.nodes)),
                lock_folder=cache_folder(),
            )
        with self.timeline.stage("farm, keys and sshd"):
            farm = build_farm(self.installation, root / "farm", self.spec.daemons)
            site = LoopbackSite.create(
                keeper=self.keeper,
                lease=lease,
                root=root,
                tools=_tools(self.installation),
                cluster_name=cluster_name,
                token=self.token,
            )
            site.start()
        nodes = NodeMaker(self.keeper, farm, site)
        boot = Bootstrap(farm, ssh_port=site.ssh_port, daemons=self.spec.daemons, deadline=self.deadline)
        with self.timeline.stage("node roots and certificate"):
            boot_nodes = [nodes.make(spec, index) for index, spec in enumerate(self.spec.nodes, 1)]
            access = self._make_access(site, boot_nodes)
        self._boot(boot, boot_nodes, cluster_name)
        parts = ClusterParts(
            spec=self.spec,
            settings=self.settings,
            installation=self.installation,
            keeper=self.keeper,
            site=site,
            farm=farm,
            bootstrap=boot,
            node_maker=nodes,
            access=access,
            stages=tuple(self.timeline.stages),
        )
        return VirtualCluster(parts, boot_nodes)

    def _boot(self, boot: Bootstrap, nodes: list[BootNode], cluster_name: str) -> None:
        master, *others = nodes
        total = len(nodes)
        self.tell(f"{self.installation}: checking the adaptations")
        with self.timeline.stage("check of adaptations"):
            boot.check_adaptations(master)
        self.tell(f"gnt-cluster init (node 1 of {total})")
        with self.timeline.stage("gnt-cluster init"):
            boot.init(master, cluster_name, self.spec.disk_templates, self.spec.init_options)
        with self.timeline.stage("readiness of the master"):
            boot.wait_ready(master, master)
        for group in sorted({node.group for node in nodes} - {"default"}):
            boot.add_group(master, group)
        for number, node in enumerate(others, 2):
            self.tell(f"gnt-node add {node.site.name} (node {number} of {total})")
            with self.timeline.stage(f"gnt-node add {node.site.name}"):
                boot.add(master, node)
        with self.timeline.stage("readiness of all nodes"):
            for node in others:
                boot.wait_ready(node, master)
        if master.group != "default":
            boot.assign_group(master, master)
        for node in others:
            if node.offline:
                boot.set_offline(master, node)

    def _make_access(self, site: LoopbackSite, nodes: list[BootNode]) -> RapiAccess:
        count = len(nodes) + _SPARE_NODES
        identities = [site.cluster_ip, site.cluster_name, "localhost"]
        identities += [str(site.lease.node_ip(index)) for index in range(1, count + 1)]
        identities += [node.site.name for node in nodes]
        access = make_rapi_access(
            self.keeper.root / "engine" / "rapi-ca.pem",
            nodes[0].site.root / "var/lib/ganeti/rapi.pem",
            identities,
        )
        for node in nodes:
            access.write_users(node.site.root)
        return access


def _tools(installation: GanetiInstallation) -> SiteTools:
    return SiteTools(
        nss_wrapper=installation.nss_wrapper,
        sshd=installation.sshd,
        ssh_keygen=installation.ssh_keygen,
        sftp_server=installation.sftp_server,
        sshd_helpers=installation.sshd_helpers,
        library_path=installation.library_path,
    )
