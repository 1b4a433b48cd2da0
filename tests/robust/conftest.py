"""Runs of pytest to be killed, an eye on everything they leave, and Ganetis of which single files are broken."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.settings import Settings

from .broken import BrokenGaneti, InstallationCopy, MountedGaneti
from .inner_run import InnerRun
from .traces import Traces

HERE = Path(__file__).parent


@pytest.fixture
def base() -> Iterator[Path]:
    """Folder for clusters; short, because Unix socket paths are."""
    folder = Path(tempfile.mkdtemp(prefix="gvr-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def block() -> IPv4Network:
    """One block of addresses, outside the default pool: who leases it finds it free, or fails."""
    return IPv4Network(f"127.{200 + secrets.randbelow(50)}.{secrets.randbelow(255)}.0/24")


@pytest.fixture
def traces(base: Path, block: IPv4Network) -> Iterator[Traces]:
    """What there is of the clusters of this test; whatever a failed test left is ended."""
    traces = Traces(base, block)
    yield traces
    traces.sweep()


@pytest.fixture
def settings(base: Path, block: IPv4Network) -> Settings:
    """Settings by which clusters are built in that folder, on those addresses."""
    return attrs.evolve(Settings.read(), root=base, subnet=block, timeout=120.0, keep="never")


@pytest.fixture
def cluster(settings: Settings, traces: Traces) -> Iterator[VirtualCluster]:
    """A cluster of one node, in this process."""
    del traces  # it sweeps after the cluster was closed
    cluster = build_cluster(ClusterSpec(nodes=1), settings)
    yield cluster
    cluster.close()


@pytest.fixture
def start_run(
    base: Path, block: IPv4Network, traces: Traces, tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[StartRun]:
    """Starts an inner run of pytest in which these tests of `inner/suite.py` run."""
    del traces  # it sweeps after the runs have ended
    start = StartRun(base, block, tmp_path, plugin_arguments(pytestconfig))
    yield start
    for run in start.runs:
        run.kill()


def plugin_arguments(config: pytest.Config) -> tuple[str, ...]:
    """Arguments by which an inner run has our plugin: none where it is installed."""
    installed = config.pluginmanager.has_plugin("ganeti_vcluster")
    return () if installed else ("-p", "pytest_ganeti_vcluster.plugin")


@attrs.define
class StartRun:
    """Starts inner runs, all in the same folder and on the same addresses."""

    base: Path
    block: IPv4Network
    folder: Path
    arguments: tuple[str, ...]
    runs: list[InnerRun] = attrs.field(factory=list)

    def __call__(
        self, *tests: str, nodes: int = 1, extra: tuple[str, ...] = (), images: Path | None = None
    ) -> InnerRun:
        """Start one. Its clusters are built for real, unless it is told where `images` are."""
        for source, target in (("reporting.py", "conftest.py"), ("suite.py", "test_suite.py")):
            shutil.copy(HERE / "inner" / source, self.folder / target)
        environment = {
            "VCLUSTER_ROOT": str(self.base),
            "VCLUSTER_SUBNET": str(self.block),
            "VCLUSTER_TIMEOUT": "120",
            "VCLUSTER_IMAGE_CACHE": "off" if images is None else str(images),
            "INNER_NODES": str(nodes),
        }
        arguments = [*self.arguments, *extra, *(f"test_suite.py::{test}" for test in tests)]
        run = InnerRun.start(self.folder, arguments, environment)
        self.runs.append(run)
        return run


@pytest.fixture(scope="session")
def installation() -> GanetiInstallation:
    """The Ganeti that tests run on."""
    return find_installation(Settings.read())


@pytest.fixture
def installation_copy(tmp_path: Path, installation: GanetiInstallation) -> InstallationCopy:
    """A Ganeti made of links to the real one: single files may be replaced or taken away."""
    return InstallationCopy.make(tmp_path / "prefix", installation)


@pytest.fixture
def broken_ganeti(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> BrokenGaneti:
    """A Ganeti of which single files may be replaced, for the engine that the suite runs on."""
    if settings.engine == "namespaces":
        return MountedGaneti(request.getfixturevalue("installation"), monkeypatch)
    copy = request.getfixturevalue("installation_copy")
    assert isinstance(copy, InstallationCopy)
    return copy
