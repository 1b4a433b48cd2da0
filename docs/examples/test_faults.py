"""What Ganeti does while a node hangs, crashes, or has lost a daemon."""

import pytest


def test_a_node_that_hangs(vcluster):
    node = vcluster.node("node2")
    with node.freeze():
        rows = vcluster.luxi.query("node", ["name", "mtotal"]).rows
        assert [row["mtotal"] for row in rows if row["name"] == node.name] == [None]
    assert vcluster.verify() == []


def test_a_node_that_crashes_and_comes_back(vcluster):
    instance = vcluster.add_instance(primary="node2")
    fault = vcluster.node("node2").crash()
    assert instance.status == "ERROR_nodedown"
    fault.lift()
    vcluster.master.run_watcher()
    assert vcluster.check_invariants() == []


def test_without_the_master_daemon(vcluster):
    vcluster.master.daemon("luxid").kill()
    with pytest.raises(Exception, match="LUXI"):
        vcluster.luxi.query("node", ["name"])
    # It is started again when the test ends, as all that is in `vcluster.faults` then is lifted.
