"""What a running cluster is made of."""

from __future__ import annotations

import attrs

from pytest_ganeti_vcluster.cluster.making.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.base import Site
from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.ganeti.bootstrap import Bootstrap, Stage
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess
from pytest_ganeti_vcluster.ganeti.verify import EXPECTED, EXPECTED_UNMODIFIED, Expected
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import Settings


@attrs.frozen(kw_only=True)
class ClusterParts:
    """What a running cluster is made of; for the product's own use."""

    spec: ClusterSpec
    settings: Settings
    installation: GanetiInstallation
    keeper: Keeper
    site: Site
    farm: Farm
    bootstrap: Bootstrap
    node_maker: NodeMaker
    access: RapiAccess
    stages: tuple[Stage, ...]

    @property
    def expected_findings(self) -> tuple[Expected, ...]:
        """What `gnt-cluster verify` says of the cluster that tells nothing about it."""
        return EXPECTED_UNMODIFIED if self.site.has_machines else EXPECTED

    def need_machines(self, what: str, why: str) -> None:
        """Raise `EngineUnavailable` where nodes are no machines of their own, which `what` needs; `why` says so."""
        if not self.site.has_machines:
            raise EngineUnavailable(
                f"engine {self.site.engine!r} cannot do this: {what}; {why}",
                cure='use engine "namespaces" for this cluster',
            )
