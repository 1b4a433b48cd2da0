"""Words of commands that are run on nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


def test_paths_are_words_of_a_command(cluster: VirtualCluster) -> None:
    result = cluster.run("echo", cluster.luxi.socket_path, Path("a b"))
    assert result.stdout == f"{cluster.luxi.socket_path} a b\n"
    # Whoever tells what was run can rely on it.
    assert cluster.command_log.since(0)[-1].argv == ("echo", str(cluster.luxi.socket_path), "a b")
    with pytest.raises(TypeError, match="int"):
        cluster.run("echo", 5)  # type: ignore[arg-type]
