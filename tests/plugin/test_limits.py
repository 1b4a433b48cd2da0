"""How many clusters a process keeps follows from cores, memory and workers, unless it is asked for."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.limits import Limit, available_memory

_GIB = 1 << 30
_SMALL, _LARGE = ClusterSpec(nodes=1), ClusterSpec(nodes=40)


def _decide(cores: int, workers: int = 1, memory: int = 16 * _GIB, asked: int | None = None) -> Limit:
    environment = {"PYTEST_XDIST_WORKER_COUNT": str(workers)} if workers > 1 else {}
    return Limit.decide(Settings(max_clusters=asked), cores=cores, memory=memory, environment=environment)


@pytest.mark.parametrize(
    ("cores", "workers", "clusters"),
    [(1, 1, 2), (2, 1, 3), (2, 2, 2), (4, 2, 3), (64, 1, 8), (64, 64, 2), (2, 16, 2)],
)
def test_cores_are_shared_by_workers(cores: int, workers: int, clusters: int) -> None:
    assert _decide(cores, workers).clusters == clusters


def test_memory_is_shared_by_workers_and_one_cluster_is_always_allowed() -> None:
    alone, four = _decide(8), _decide(8, 4)
    assert alone.memory == 4 * (four.memory or 0) == 8 * _GIB
    assert alone.allows([_LARGE, _LARGE])
    assert not four.allows([_LARGE, _LARGE])
    assert four.allows([_LARGE])
    poor = _decide(8, memory=1)
    assert poor.allows([_LARGE])
    assert not poor.allows([_SMALL, _SMALL])


def test_what_is_asked_for_counts_and_nothing_else() -> None:
    limit = _decide(1, memory=1, asked=3)
    assert limit.allows([_LARGE] * 3)
    assert not limit.allows([_SMALL] * 4)
    assert str(limit) == "at most 3 clusters alive (as asked for)"
    assert str(_decide(2, 2)) == (
        "at most 2 clusters alive (2 cores, 4096 MiB of memory for each of 2 workers)"
    )


def test_a_control_group_s_limit_counts_if_it_is_nearer(tmp_path: Path) -> None:
    """Files as the kernel has them, for both versions (admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst)."""
    own, groups = tmp_path / "cgroup", tmp_path / "groups"
    inner = groups / "user.slice/run.scope"
    inner.mkdir(parents=True)
    own.write_text("0::/user.slice/run.scope\n", encoding="ascii")
    (inner / "memory.max").write_text("max\n", encoding="ascii")
    (inner / "memory.current").write_text("1000\n", encoding="ascii")
    machine = available_memory(own, groups)
    assert machine > 1 << 20
    (inner.parent / "memory.max").write_text(f"{1 << 20}\n", encoding="ascii")
    (inner.parent / "memory.current").write_text("1024\n", encoding="ascii")
    assert available_memory(own, groups) == (1 << 20) - 1024

    own.write_text("9:name=systemd:/\n4:cpu,memory:/job\n", encoding="ascii")
    old = groups / "memory/job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("4096\n", encoding="ascii")
    (old / "memory.usage_in_bytes").write_text("8192\n", encoding="ascii")
    assert available_memory(own, groups) == 0


def test_without_control_groups_the_machine_s_memory_counts(tmp_path: Path) -> None:
    assert 0 < available_memory(tmp_path / "none", tmp_path) <= psutil.virtual_memory().total
    assert available_memory() <= psutil.virtual_memory().total
