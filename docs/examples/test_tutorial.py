import pytest

from pytest_ganeti_vcluster.errors import JobFailed


def test_cluster_answers(vcluster):
    names = [node.name for node in vcluster.nodes]
    assert names == ["node1.vc", "node2.vc", "node3.vc"]
    assert vcluster.master.name == "node1.vc"
    print(vcluster.run("gnt-node", "list"))


def test_instance_runs(vcluster):
    web = vcluster.add_instance("web", "file", primary="node2")
    assert web.status == "running"
    [row] = vcluster.luxi.query("instance", ["name", "pnode", "oper_ram"]).rows
    assert row == {"name": "web.vc", "pnode": "node2.vc", "oper_ram": 128}


def test_policy_refuses(vcluster):
    with pytest.raises(JobFailed) as caught:
        vcluster.add_instance("web", primary="node1", memory=10**9)
    assert caught.value.kind == "OpPrereqError"
    assert "violates policy" in caught.value.error


def test_master_fails_over(vcluster):
    old, new, _ = vcluster.nodes
    web = vcluster.add_instance("web", primary=old)

    new.run("gnt-cluster", "master-failover")
    assert vcluster.master is new
    assert new.holds_master_ip
    assert not old.holds_master_ip

    web.failover(new)
    assert web.primary is new
    assert vcluster.verify() == []
