"""Images of fresh clusters, and clusters made from them."""

from __future__ import annotations

from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.making.building import build_cluster, cluster_parts
from pytest_ganeti_vcluster.cluster.making.foundation import Foundation, Tell, laid
from pytest_ganeti_vcluster.cluster.running.attaching import describe_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.state.restoring import ClusterState, base_processes, quiesce
from pytest_ganeti_vcluster.cluster.state.state_files import is_not_state, state_folders
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.engines.base import Plan, Site
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Timeline
from pytest_ganeti_vcluster.ganeti.daemons import RAPI_PORT
from pytest_ganeti_vcluster.ganeti.rapi_access import (
    RAPI_CERTIFICATE,
    RapiAccess,
    new_rapi_access,
    renew_rapi_certificate,
)
from pytest_ganeti_vcluster.ganeti.ssconf import master_address
from pytest_ganeti_vcluster.ganeti.starting import Starter
from pytest_ganeti_vcluster.images.content import Content, Entry, file_entry
from pytest_ganeti_vcluster.images.words import Words
from pytest_ganeti_vcluster.settings import Settings

#: The engine's folder, of which an image holds the keys only: making them takes a quarter of a second.
_ENGINE = "engine"
_KEYS = ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "id_ed25519", "id_ed25519.pub")


def make_image(spec: ClusterSpec, settings: Settings, folder: Path, tell: Tell) -> Content:
    """Build a cluster for real, end its daemons in order, and capture it into `folder`, which must not exist.

    What its nodes are to report of themselves is left for clones. Raises what `build_cluster` raises.
    """
    with build_cluster(spec.without_capacities(), settings, tell) as cluster:
        tell("keeping it as an image")
        cluster.wait_idle(settings.timeout)
        quiesce(cluster)
        parts = cluster.parts
        return Content.capture(
            cluster.root,
            folder,
            [*state_folders([node.boot_node for node in cluster.nodes]), _ENGINE],
            _words(cluster.root, parts.site.lease, parts.keeper.record.token, parts.access),
            leave_out=lambda path: is_not_state(path) or _is_other_engine_file(path),
        )


def clone_cluster(
    image: Content,
    spec: ClusterSpec,
    settings: Settings,
    tell: Tell = lambda _line: None,
    *,
    root_name: str | None = None,
) -> VirtualCluster:
    """Make a cluster of an image of its spec: with addresses, root folder, RAPI password and certificate of its own.

    Raises `ImageDamaged`, and else what `build_cluster` raises; nothing is left then.
    """
    timeline = Timeline()
    tell("cloning the image")

    def take_keys(site: Site) -> None:
        image.select(_is_of_engine).put(site.host_key.parent.parent, Words())

    with laid(spec, settings, timeline, root_name=root_name, prepare=take_keys) as base:
        with timeline.stage("files"):
            nodes = base.nodes.place([(node, index) for index, node in enumerate(spec.nodes, 1)])
            access = new_rapi_access(base.ca_file)
            words = _words(base.root, base.lease, base.token, access)
            content = image.select(lambda path: not _is_of_engine(path))
            content = content.having(_certificates(base, image, nodes))
            content.put(base.root, words)
            content = content.having(_renewed(base, nodes))
        if base.site.has_machines:
            _boot(base, nodes[0], timeline)
        processes = base_processes(base.keeper)
        with timeline.stage("daemons"):
            base.wait_fork_server()
            optional = base.farm.optional_daemons(spec.daemons)
            starter = Starter(farm=base.farm, optional=optional, deadline=base.deadline, tell=tell)
            starter.start_missing(nodes, nodes[0])
        with timeline.stage("readiness of sshd"):
            base.site.wait_ready()
        base.tell_problems(tell)
        cluster = VirtualCluster(cluster_parts(base, access), nodes)
        with timeline.stage("look at the files"):
            cluster.pristine = ClusterState.now(cluster, processes, content, words)
        cluster.boot_stages = tuple(timeline.stages)
        describe_cluster(cluster)
    return cluster


def _boot(base: Foundation, master: BootNode, timeline: Timeline) -> None:
    """Have the nodes come up, where they are machines, with what else a cluster stands on."""
    with timeline.stage("machines"):
        base.site.follow_power({master.site.name: master_address(master.site.root)})
        base.site.reach(base.site.cluster_ip, RAPI_PORT)


def _words(root: Path, lease: Plan, token: str, access: RapiAccess) -> Words:
    """Name what differs from one cluster of a spec to the next."""
    blocks = {
        f"block{number}": str(block.network_address).rpartition(".")[0] + "."
        for number, block in enumerate(lease.blocks, 1)
    }
    return Words.of({"root": str(root), "token": token, "password": access.password, **blocks})


def _certificates(base: Foundation, image: Content, nodes: list[BootNode]) -> list[Entry]:
    """Give RAPI's certificate for the addresses of now, for every node that has one."""
    paths = [f"{node.site.name}/{RAPI_CERTIFICATE}" for node in nodes]
    having = [image.entries[path] for path in paths if path in image.entries]
    if not having:
        return []
    renewed = renew_rapi_certificate(base.ca_file, image.data(having[0].path), base.rapi_identities)
    return [attrs.evolve(entry, data=renewed) for entry in having]


def _renewed(base: Foundation, nodes: list[BootNode]) -> list[Entry]:
    """Write and give what depends on the machine of now, and what the nodes report of themselves."""
    return [
        file_entry(f"{node.site.name}/{path}", node.site.root / path)
        for spec, node in zip(base.spec.nodes, nodes)
        for path in base.nodes.renew(node, spec)
    ]


def _is_of_engine(path: str) -> bool:
    return path == _ENGINE or path.startswith(_ENGINE + "/")


def _is_other_engine_file(path: str) -> bool:
    return path.startswith(_ENGINE + "/") and path.removeprefix(_ENGINE + "/") not in _KEYS
