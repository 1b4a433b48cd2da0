"""The site of a cluster, by the name of its engine."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.base import Site, SiteTools
from pytest_ganeti_vcluster.engines.loopback.lease import Lease, blocks_for
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan
from pytest_ganeti_vcluster.engines.loopback.site import LoopbackSite
from pytest_ganeti_vcluster.engines.namespaces.addresses import plan_for
from pytest_ganeti_vcluster.engines.namespaces.furnishing import links_out
from pytest_ganeti_vcluster.engines.namespaces.shown_hardware import check_storage
from pytest_ganeti_vcluster.engines.namespaces.site import NamespacesSite
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.unmodified import layers_of, version_links
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import Settings, cache_folder


def check_machines(spec: ClusterSpec) -> None:
    """Raise `EngineUnavailable` for what nodes that are machines of their own cannot have here."""
    if any(node.disk is not None for node in spec.nodes):
        check_storage()


def lease_addresses(
    engine: str, keeper: Keeper, spec: ClusterSpec, settings: Settings, nodes: int
) -> AddressPlan:
    """Return addresses for so many nodes that are the cluster's alone. Raises `NoFreeAddresses`, `KeeperError`."""
    blocks = blocks_for(nodes, secondary_ips=spec.secondary_ips)
    if engine == "namespaces":
        return plan_for(blocks, secondary_ips=spec.secondary_ips)
    return Lease.acquire(
        keeper,
        settings.subnet,
        blocks,
        secondary_ips=spec.secondary_ips,
        lock_folder=cache_folder(),
    )


def make_site(
    engine: str,
    *,
    keeper: Keeper,
    lease: AddressPlan,
    root: Path,
    installation: GanetiInstallation,
    cluster_name: str,
    token: str,
) -> Site:
    """Make the site of a new cluster; it is started later."""
    tools = tools_of(installation)
    if engine == "namespaces":
        site = NamespacesSite(
            keeper=keeper,
            plan=lease,
            root=root,
            tools=tools,
            cluster_name=cluster_name,
            token=token,
            layers=layers_of(installation, root / "farm"),
        )
        site.create()
        return site
    assert isinstance(lease, Lease)
    return LoopbackSite.create(
        keeper=keeper, lease=lease, root=root, tools=tools, cluster_name=cluster_name, token=token
    )


def attach_site(
    engine: str,
    *,
    keeper: Keeper,
    blocks: tuple[IPv4Network, ...],
    spec: ClusterSpec,
    installation: GanetiInstallation,
    cluster_name: str,
) -> Site:
    """Return the site of a cluster that runs already. Raises `KeeperError`."""
    tools, token = tools_of(installation), keeper.record.token
    if engine == "namespaces":
        site = NamespacesSite(
            keeper=keeper,
            plan=AddressPlan(blocks, secondary_ips=spec.secondary_ips),
            root=keeper.root,
            tools=tools,
            cluster_name=cluster_name,
            token=token,
            layers=layers_of(installation, keeper.root / "farm"),
        )
        site.check()
        return site
    return LoopbackSite.attach(
        keeper=keeper,
        lease=Lease(blocks, keeper, secondary_ips=spec.secondary_ips),
        root=keeper.root,
        tools=tools,
        cluster_name=cluster_name,
        token=token,
    )


def taken_from_machine(engine: str, installation: GanetiInstallation) -> dict[str, str]:
    """Return what the nodes of an engine have of this machine in their root folders: links, by name."""
    if engine != "namespaces":
        return {}
    return {
        **links_out(),
        **{f"ganeti/{name}": target for name, target in version_links(installation).items()},
    }


def tools_of(installation: GanetiInstallation) -> SiteTools:
    """Return what a site uses of an installation."""
    return SiteTools(
        nss_wrapper=installation.nss_wrapper,
        sshd=installation.sshd,
        ssh_keygen=installation.ssh_keygen,
        sftp_server=installation.sftp_server,
        sshd_helpers=installation.sshd_helpers,
        library_path=installation.library_path,
    )
