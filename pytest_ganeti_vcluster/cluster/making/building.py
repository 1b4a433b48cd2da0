"""From a spec to a cluster that answers, by Ganeti's own commands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs

from pytest_ganeti_vcluster.cluster.making.bulk_join import BulkJoin
from pytest_ganeti_vcluster.cluster.making.foundation import Foundation, Tell, laid
from pytest_ganeti_vcluster.cluster.making.keys_ahead import KeysAhead
from pytest_ganeti_vcluster.cluster.parts import ClusterParts
from pytest_ganeti_vcluster.cluster.running.attaching import describe_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.state.restoring import base_processes, first_state
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, Timeline
from pytest_ganeti_vcluster.ganeti.daemons import RAPI_PORT
from pytest_ganeti_vcluster.ganeti.rapi_access import (
    RAPI_CERTIFICATE,
    READY_CERTIFICATE,
    RapiAccess,
    make_rapi_access,
)
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
            nodes = base.nodes.place([(node, index) for index, node in enumerate(spec.nodes, 1)])
            one_by_one = nodes[:2] if spec.joins_in_bulk else nodes
            for node, its_spec in zip(one_by_one, spec.nodes):
                base.nodes.make_root(node, its_spec)
            access = make_access(base, one_by_one)
        with timeline.stage("readiness of sshd"):
            base.site.wait_ready()
            base.site.reach(base.site.cluster_ip, RAPI_PORT)
        processes = base_processes(base.keeper)
        base.wait_fork_server()
        _Boot(base, tell, access).run(one_by_one, nodes[len(one_by_one) :])
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
    access: RapiAccess

    def run(self, one_by_one: list[BootNode], at_once: list[BootNode]) -> None:
        """Join nodes; the roots of those `at_once` are yet to be made, while Ganeti's own commands make the others."""
        with KeysAhead.making(len(at_once)) as keys, ThreadPoolExecutor(1) as background:
            roots = background.submit(self._make_roots, at_once)
            self._init_and_join(one_by_one, [*one_by_one, *at_once])
            if at_once:
                with self.base.timeline.stage("roots of nodes"):
                    roots.result()
                master, model, *_others = one_by_one
                BulkJoin(base=self.base, tell=self.tell, master=master, model=model, keys=keys).run(at_once)
        self._finish([*one_by_one, *at_once])

    def _make_roots(self, nodes: list[BootNode]) -> None:
        specs = self.base.spec.nodes
        for node in nodes:
            self.base.nodes.make_root(node, specs[node.site.index - 1])
            self.access.write_users(node.site.root)

    def _init_and_join(self, one_by_one: list[BootNode], nodes: list[BootNode]) -> None:
        base, boot, timeline = self.base, self.base.boot, self.base.timeline
        master, *others = one_by_one
        total = len(nodes)
        self.tell(f"{base.installation}: checking the adaptations")
        with timeline.stage("check of adaptations"):
            boot.check_adaptations(master)
        self.tell(f"gnt-cluster init (node 1 of {total})")
        with timeline.stage("gnt-cluster init"):
            boot.init(master, base.site.cluster_name, base.spec.disk_templates, base.spec.init_options)
            if base.site.has_machines:
                boot.put_rapi_certificate(master)
        with timeline.stage("readiness of the master"):
            boot.wait_ready(master, master)
        for group in sorted({node.group for node in nodes} - {"default"}):
            boot.add_group(master, group)
        for number, node in enumerate(others, 2):
            self.tell(f"gnt-node add {node.site.name} (node {number} of {total})")
            with timeline.stage(f"gnt-node add {node.site.name}"):
                boot.add(master, node)
        with timeline.stage("readiness of all nodes"):
            for node in others:
                boot.wait_ready(node, master)

    def _finish(self, nodes: list[BootNode]) -> None:
        boot = self.base.boot
        master, *others = nodes
        if master.group != "default":
            boot.assign_group(master, master)
        for node in others:
            if node.offline:
                boot.set_offline(master, node)


def make_access(base: Foundation, nodes: list[BootNode]) -> RapiAccess:
    """Give nodes that have no cluster yet a certificate and a user for RAPI; the first is to be the master."""
    # On a machine `gnt-cluster init` refuses to find anything (lib/bootstrap.py); it is put in place after that.
    place = READY_CERTIFICATE if base.site.has_machines else RAPI_CERTIFICATE
    access = make_rapi_access(base.ca_file, nodes[0].site.root / place, base.rapi_identities)
    for node in nodes:
        access.write_users(node.site.root)
    return access
