"""A test whose marker the outer test has made wrong."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

KEYWORDS: dict[str, Any] = json.loads(os.environ["INNER_MARKER"])


@pytest.mark.vcluster(**KEYWORDS)  # type: ignore[untyped-decorator]
def test_never_run(vcluster: VirtualCluster) -> None:
    raise AssertionError(vcluster)
