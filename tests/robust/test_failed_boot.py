"""A boot that fails leaves nothing, or on request the folder to look into."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.settings import Settings


@pytest.fixture
def hurried() -> Settings:
    """Give settings with which no boot has the time to succeed."""
    return attrs.evolve(Settings.read(), timeout=0.01)


def _fail(settings: Settings) -> BootFailed:
    with pytest.raises(BootFailed, match="no time left") as caught:
        build_cluster(ClusterSpec(nodes=1), settings)
    return caught.value


def test_nothing_is_left(hurried: Settings) -> None:
    base = Path(tempfile.mkdtemp(prefix="vcf-"))
    try:
        _fail(attrs.evolve(hurried, keep="never", root=base))
        assert list(base.iterdir()) == []
    finally:
        base.rmdir()


def test_the_folder_is_kept_on_request_and_named(hurried: Settings) -> None:
    error = _fail(attrs.evolve(hurried, keep="failed"))
    match = re.search(r"folder is kept: (\S+)", str(error))
    assert match is not None
    root = Path(match[1])
    try:
        assert (root / "node1.vc/etc/ganeti/file-storage-paths").exists()
        assert "--vcluster-timeout" in error.cure
    finally:
        remove_root(root)
