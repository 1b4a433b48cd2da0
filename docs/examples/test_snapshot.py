import pytest


@pytest.fixture(scope="module")
def shop(vcluster_factory):
    """A cluster with two instances, and a snapshot of it."""
    with vcluster_factory(nodes=2, disk_templates=("diskless", "file")) as cluster:
        cluster.add_instance("database", disk_template="file", primary="node1")
        cluster.add_instance("web", primary="node2")
        yield cluster, cluster.snapshot()


@pytest.fixture
def cluster(shop):
    cluster, snapshot = shop
    yield cluster
    cluster.restore(snapshot)


def test_the_database_is_removed(cluster):
    cluster.instance("database").remove()
    assert [one.name for one in cluster.instances] == ["web.vc"]


def test_the_master_fails_over(cluster):
    cluster.node("node2").run("gnt-cluster", "master-failover")
    assert cluster.master.name == "node2.vc"
    assert [one.name for one in cluster.instances] == ["database.vc", "web.vc"]
