import pytest

pytestmark = pytest.mark.vcluster(nodes=2)


def test_planned_failover(vcluster):
    old, new = vcluster.nodes
    web = vcluster.add_instance("web", primary=old)

    new.run("gnt-cluster", "master-failover")

    assert vcluster.master is new
    assert (old.holds_master_ip, new.holds_master_ip) == (False, True)
    assert vcluster.rapi.info()["master"] == new.name
    assert web.status == "running"
    assert vcluster.verify() == []


def test_old_master_steps_back(vcluster):
    old, new = vcluster.nodes
    job = vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.1, "on_master": True})
    job.wait(timeout=60)

    new.run("gnt-cluster", "master-failover")

    # What only the master has; there may be others that every node has.
    of_master = {"luxid", "rapi", "wconfd"}
    assert of_master.isdisjoint(old.daemons)
    assert {"noded", "confd", *of_master} <= new.daemons.keys()
    refused = old.run("gnt-node", "list", check=False)
    assert refused.returncode == 1
    assert "This is not the master node" in refused.stderr
    # The queue has moved along: `job` asks whichever node is the master now.
    assert job.status == "success"
