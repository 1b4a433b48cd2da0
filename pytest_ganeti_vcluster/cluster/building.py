"""From a spec to a cluster that answers."""

from __future__ import annotations

import secrets
import shutil
import time
from typing import Callable

from pytest_ganeti_vcluster.cluster.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import ClusterParts, VirtualCluster
from pytest_ganeti_vcluster.engines.base import SiteTools
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.engines.loopback.lease import Lease, blocks_for
from pytest_ganeti_vcluster.engines.loopback.site import DOMAIN, LoopbackSite
from pytest_ganeti_vcluster.ganeti import preflight
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Bootstrap, Timeline
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess, make_rapi_access
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.folder import make_root
from pytest_ganeti_vcluster.settings import Settings, cache_folder

#: Called with one line for people as each stage of a boot begins.
Tell = Callable[[str], None]

#: Nodes that may become master later have an address in the RAPI certificate from the start.
_SPARE_NODES = 16


def build_cluster(spec: ClusterSpec, settings: Settings, tell: Tell = lambda _line: None) -> VirtualCluster:
    """Build a cluster of `spec` for real (init, node add) and return it when every daemon answers.

    Whatever goes wrong, before or in the middle, raises one `VClusterError`, and nothing is left: no process, no
    lease, no folder (`settings.keep == "always"` keeps the folder).
    """
    timeline = Timeline()
    engine = choose_engine(spec.engine, settings.engine, spec.needs)
    installation = find_installation(settings, spec.ganeti)
    longest = max(len(f"{node.name}.{DOMAIN}") for node in spec.nodes)
    preflight.check_boot(settings.root, node_name_length=longest, nodes=len(spec.nodes))
    token = secrets.token_hex(16)
    with timeline.stage("keeper and lease"):
        root = make_root(settings.root)
        try:
            keeper = Keeper.start(root, token=token)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
    try:
        return _Builder(spec, settings, installation, engine, keeper, token, timeline, tell).build()
    except BaseException:
        if settings.keep == "always":
            keeper.keep_root(True)
        keeper.stop()
        raise


class _Builder:
    """One boot; the keeper is running and cleans up after it."""

    def __init__(
        self,
        spec: ClusterSpec,
        settings: Settings,
        installation: GanetiInstallation,
        engine: str,
        keeper: Keeper,
        token: str,
        timeline: Timeline,
        tell: Tell,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._installation = installation
        self._engine = engine
        self._keeper = keeper
        self._token = token
        self._timeline = timeline
        self._tell = tell
        self._deadline = time.monotonic() + settings.timeout

    def build(self) -> VirtualCluster:
        root = self._keeper.root
        cluster_name = f"{self._spec.name}.{DOMAIN}"
        if self._settings.keep == "always":
            self._keeper.keep_root(True)
        with self._timeline.stage("keeper and lease"):
            lease = Lease.acquire(
                self._keeper,
                self._settings.subnet,
                blocks_for(len(self._spec.nodes)),
                lock_folder=cache_folder(),
            )
        with self._timeline.stage("farm, keys and sshd"):
            farm = build_farm(self._installation, root / "farm", self._spec.daemons)
            site = LoopbackSite(
                keeper=self._keeper,
                lease=lease,
                root=root,
                tools=_tools(self._installation),
                cluster_name=cluster_name,
                token=self._token,
            )
            site.start()
        nodes = NodeMaker(self._keeper, farm, site)
        boot = Bootstrap(farm, ssh_port=site.ssh_port, daemons=self._spec.daemons, deadline=self._deadline)
        with self._timeline.stage("node roots and certificate"):
            boot_nodes = [nodes.make(spec, index) for index, spec in enumerate(self._spec.nodes, 1)]
            access = self._make_access(site, boot_nodes)
        self._boot(boot, boot_nodes, cluster_name)
        parts = ClusterParts(
            spec=self._spec,
            settings=self._settings,
            installation=self._installation,
            keeper=self._keeper,
            site=site,
            farm=farm,
            bootstrap=boot,
            node_maker=nodes,
            access=access,
            stages=tuple(self._timeline.stages),
        )
        return VirtualCluster(parts, boot_nodes)

    def _boot(self, boot: Bootstrap, nodes: list[BootNode], cluster_name: str) -> None:
        master, *others = nodes
        total = len(nodes)
        self._tell(f"{self._installation}: checking the adaptations")
        with self._timeline.stage("check of adaptations"):
            boot.check_adaptations(master)
        self._tell(f"gnt-cluster init (node 1 of {total})")
        with self._timeline.stage("gnt-cluster init"):
            boot.init(master, cluster_name, self._spec.disk_templates, self._spec.init_options)
        with self._timeline.stage("readiness of the master"):
            boot.wait_ready(master, master=True)
        for group in sorted({node.group for node in nodes} - {"default"}):
            boot.add_group(master, group)
        for number, node in enumerate(others, 2):
            self._tell(f"gnt-node add {node.site.name} (node {number} of {total})")
            with self._timeline.stage(f"gnt-node add {node.site.name}"):
                boot.add(master, node)
        with self._timeline.stage("readiness of all nodes"):
            for node in others:
                boot.wait_ready(node, master=False)
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
            self._keeper.root / "engine" / "rapi-ca.pem",
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
