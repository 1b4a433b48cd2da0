"""From a spec to a cluster that answers, by Ganeti's own commands."""

from __future__ import annotations

import attrs

from pytest_ganeti_vcluster.cluster.making.bulk_join import BulkJoin
from pytest_ganeti_vcluster.cluster.making.foundation import Foundation, Tell, laid
from pytest_ganeti_vcluster.cluster.parts import ClusterParts
from pytest_ganeti_vcluster.cluster.running.attaching import describe_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.state.restoring import base_processes, first_state
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Timeline
from pytest_ganeti_vcluster.ganeti.rapi_access import RAPI_CERTIFICATE, RapiAccess, make_rapi_access
from pytest_ganeti_vcluster.settings import Settings


def build_cluster(
    spec: ClusterSpec,
    settings: Settings,
    tell: Tell = lambda _line: None,
    *,
    root_name: str | None = None,
) -> VirtualCluster:
    """Build a cluster of `spec` for real (init, node add) and return it when every daemon answers.

    Whatever goes wrong, before or in the middle, raises one `VClusterError`, and nothing is left: no process, no
    lease, no folder (unless `settings.keep` is "failed" or "always"). `root_name` as in `laid`.
    """
    timeline = Timeline()
    with laid(spec, settings, timeline, root_name=root_name) as base:
        with timeline.stage("node roots and certificate"):
            nodes = [base.nodes.make(node, index) for index, node in enumerate(spec.nodes, 1)]
            access = make_access(base, nodes)
        with timeline.stage("readiness of sshd"):
            base.site.wait_ready()
        processes = base_processes(base.keeper)
        base.wait_fork_server()
        _Boot(base, tell).run(nodes)
        base.tell_problems(tell)
        with timeline.stage("copy for resets"):
            cluster = VirtualCluster(cluster_parts(base, access), nodes)
            cluster.pristine = first_state(cluster, processes)
        describe_cluster(cluster)
    return cluster


def cluster_parts(base: Foundation, access: RapiAccess) -> ClusterParts:
    """Name the parts of the cluster on a foundation."""
    return ClusterParts(
        spec=base.spec,
        settings=base.settings,
        installation=base.installation,
        keeper=base.keeper,
        site=base.site,
        farm=base.farm,
        bootstrap=base.boot,
        node_maker=base.nodes,
        access=access,
        stages=tuple(base.timeline.stages),
    )


@attrs.frozen
class _Boot:
    """One boot on a foundation; who laid it cleans up after it."""

    base: Foundation
    tell: Tell

    def run(self, nodes: list[BootNode]) -> None:
        base, boot, timeline = self.base, self.base.boot, self.base.timeline
        master, *others = nodes
        total = len(nodes)
        self.tell(f"{base.installation}: checking the adaptations")
        with timeline.stage("check of adaptations"):
            boot.check_adaptations(master)
        self.tell(f"gnt-cluster init (node 1 of {total})")
        with timeline.stage("gnt-cluster init"):
            boot.init(master, base.site.cluster_name, base.spec.disk_templates, base.spec.init_options)
        with timeline.stage("readiness of the master"):
            boot.wait_ready(master, master)
        for group in sorted({node.group for node in nodes} - {"default"}):
            boot.add_group(master, group)
        one_by_one, at_once = (others[:1], others[1:]) if base.spec.joins_in_bulk else (others, [])
        for number, node in enumerate(one_by_one, 2):
            self.tell(f"gnt-node add {node.site.name} (node {number} of {total})")
            with timeline.stage(f"gnt-node add {node.site.name}"):
                boot.add(master, node)
        with timeline.stage("readiness of all nodes"):
            for node in one_by_one:
                boot.wait_ready(node, master)
        if at_once:
            BulkJoin(base=base, tell=self.tell, master=master, model=one_by_one[0]).run(at_once)
        if master.group != "default":
            boot.assign_group(master, master)
        for node in others:
            if node.offline:
                boot.set_offline(master, node)


def make_access(base: Foundation, nodes: list[BootNode]) -> RapiAccess:
    """Give nodes that have no cluster yet a certificate and a user for RAPI; the first is to be the master."""
    access = make_rapi_access(base.ca_file, nodes[0].site.root / RAPI_CERTIFICATE, base.rapi_identities)
    for node in nodes:
        access.write_users(node.site.root)
    return access
