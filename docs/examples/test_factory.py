import pytest


@pytest.fixture(scope="module")
def two_instances(vcluster_factory):
    """One cluster for all tests of this module, with two instances in it."""
    cluster = vcluster_factory(nodes=2, name="shop")
    cluster.add_instance("web")
    cluster.add_instance("db")
    yield cluster
    cluster.close()


def test_names(two_instances):
    assert [one.name for one in two_instances.instances] == ["db.vc", "web.vc"]


def test_cluster_name(two_instances):
    assert two_instances.luxi.query_cluster_info()["name"] == "shop.vc"
