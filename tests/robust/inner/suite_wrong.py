"""A test whose marker the outer test has made wrong."""

from __future__ import annotations

import json
import os

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


@pytest.mark.vcluster(**json.loads(os.environ["INNER_MARKER"]))
def test_never_run(vcluster: VirtualCluster) -> None:
    raise AssertionError(vcluster)
