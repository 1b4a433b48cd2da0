"""Clusters from images: built once, cloned at once, and built again when something is wrong with the image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import ImageCacheUnusable
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings

SPEC = ClusterSpec(nodes=1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a folder for images of its own."""
    folder = tmp_path_factory.mktemp("cache") / "images"
    return attrs.evolve(Settings.read(), image_cache=folder, keep="never")


@contextlib.contextmanager
def obtained(settings: Settings, told: list[str]) -> Iterator[VirtualCluster]:
    """Obtain a cluster, see that it is well, and close it in the end."""
    with obtain_cluster(SPEC, settings, told.append) as cluster:
        assert cluster.verify() == []
        yield cluster


def content_of(settings: Settings) -> Path:
    """Folder of the only image's content."""
    store = ImageStore.of(settings)
    assert store is not None
    # Sources that were changed while this runs make other images.
    content = store.images()[-1].content
    assert content is not None
    return content


def was_built(told: list[str]) -> bool:
    return any(line.startswith("gnt-cluster init") for line in told)


@pytest.fixture(scope="module")
def _image(settings: Settings) -> None:
    told: list[str] = []
    with obtained(settings, told):
        assert was_built(told)


@pytest.mark.usefixtures("_image")
def test_clones_of_one_image_live_side_by_side(settings: Settings) -> None:
    told: list[str] = []
    with obtained(settings, told) as one, obtained(settings, told) as other:
        assert not was_built(told)
        assert one.root != other.root
        # Machines are in a network of their own, where all have the same addresses.
        assert (one.ip == other.ip) is one.parts.site.has_machines
        assert one.rapi.password != other.rapi.password
        one.add_instance(primary=one.master)
        assert other.instances == []


@pytest.mark.usefixtures("_image")
def test_a_damaged_image_is_built_again(settings: Settings) -> None:
    damaged = content_of(settings)
    config = damaged / "tree" / Content.load(damaged).entries["node1.vc/var/lib/ganeti/config.data"].digest
    data = config.read_bytes()
    config.write_bytes(data.replace(b'"serial_no"', b'"serial_mo"', 1))
    told: list[str] = []
    with obtained(settings, told):
        assert was_built(told)
    (line,) = [line for line in told if "is of no use and built again" in line]
    assert "config.data has other contents" in line
    assert not damaged.exists()


@pytest.mark.usefixtures("_image")
def test_an_image_that_is_removed_while_it_is_cloned_is_built_again(settings: Settings) -> None:
    store = ImageStore.of(settings)
    assert store is not None
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if told == ["cloning the image"]:
            assert len(store.collect(0)) >= 1

    with obtain_cluster(SPEC, settings, tell) as cluster:
        assert cluster.verify() == []
    assert was_built(told)


def test_without_images_nothing_is_kept(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ImageCacheUnusable):
        obtain_cluster(SPEC, attrs.evolve(settings, image_cache=Path("/dev/null")))
    told: list[str] = []
    with obtained(attrs.evolve(settings, image_cache=None), told):
        assert was_built(told)
    assert "keeping it as an image" not in told
