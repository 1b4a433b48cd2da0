"""What a running cluster is made of."""

from __future__ import annotations

import attrs

from pytest_ganeti_vcluster.cluster.making.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines.loopback.site import LoopbackSite
from pytest_ganeti_vcluster.ganeti.bootstrap import Bootstrap, Stage
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import Settings


@attrs.frozen(kw_only=True)
class ClusterParts:
    """What a running cluster is made of; for the product's own use."""

    spec: ClusterSpec
    settings: Settings
    installation: GanetiInstallation
    keeper: Keeper
    site: LoopbackSite
    farm: Farm
    bootstrap: Bootstrap
    node_maker: NodeMaker
    access: RapiAccess
    stages: tuple[Stage, ...]
