"""Nodes that Ganeti leaves with an old ssconf: its own fault, which the robustness suite found (seed 108)."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.invariants.agreement import different_configurations
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from robustness.history import History
from robustness.known import put_right, stale_ssconf
from tests.rows.queue_jobs import until

_TAGS = "var/lib/ganeti/ssconf_cluster_tags"


def _tags(vcluster: VirtualCluster) -> list[list[str]]:
    return [(node.root / _TAGS).read_text(encoding="utf-8").split() for node in vcluster.nodes]


def test_a_change_that_reached_not_all_is_not_undone(vcluster: VirtualCluster) -> None:
    # What wconfd compares with is what it has sent itself.
    vcluster.run("gnt-cluster", "add-tags", "red")
    until(lambda: _tags(vcluster) == [["red"]] * 3, "all know the tag")
    with vcluster.node("node3").daemon("noded").stop():
        vcluster.run("gnt-cluster", "add-tags", "blue")
        wconfd = vcluster.master.daemon("wconfd")
        until(lambda: "Can't distribute Ssconf" in wconfd.log(), "wconfd has not reached all")
    assert _tags(vcluster) == [["blue", "red"], ["blue", "red"], ["red"]]

    vcluster.run("gnt-cluster", "remove-tags", "blue")
    vcluster.run("gnt-cluster", "redist-conf")
    until(lambda: not list(different_configurations(vcluster)), "the configuration is everywhere")
    # For wconfd ssconf is again what all had before (src/Ganeti/WConfd/ConfigWriter.hs, distSSConfAsyncTask).
    assert vcluster.run("gnt-cluster", "list-tags").stdout == "red\n"
    assert _tags(vcluster) == [["blue", "red"], ["blue", "red"], ["red"]]
    assert [one.code for one in vcluster.verify()] == ["ECLUSTERFILECHECK"]

    history = History()
    history.write("fault", kind="kill")
    [known] = put_right(vcluster, history)
    assert known.what.startswith("ssconf_cluster_tags of node3.vc is '")
    assert list(stale_ssconf(vcluster)) == []
    assert _tags(vcluster) == [["red"]] * 3
