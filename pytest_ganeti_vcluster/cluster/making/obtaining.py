"""Getting a cluster the fastest way there is: from an image, which is made by whoever needs it first."""

from __future__ import annotations

from pathlib import Path

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.making.cloning import clone_cluster, make_image
from pytest_ganeti_vcluster.cluster.making.foundation import Tell, check_request
from pytest_ganeti_vcluster.cluster.making.image_key import image_key
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings


def obtain_cluster(
    spec: ClusterSpec,
    settings: Settings,
    tell: Tell = lambda _line: None,
    *,
    root_name: str | None = None,
) -> VirtualCluster:
    """Return a running cluster of `spec`, as clean as just built: a clone of an image, or built for real without one.

    An image that is not there, or is damaged, is made first. Raises what `build_cluster` raises, and `ImageError` or
    `ImageCacheUnusable`; nothing is left then. `root_name` as in `laid`.
    """
    store = ImageStore.of(settings)
    if store is None:
        return build_cluster(spec, settings, tell, root_name=root_name)
    installation = check_request(spec, settings)

    def make(folder: Path) -> None:
        make_image(spec, settings, folder, tell)

    def clone(folder: Path) -> VirtualCluster:
        return clone_cluster(Content.load(folder), spec, settings, tell, root_name=root_name)

    return store.use(image_key(spec, installation, settings), make, clone, tell)
