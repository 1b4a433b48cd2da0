import pytest
from inventory import Inventory, JobFailed, Refused, UnknownInstance


@pytest.fixture
def inventory(vcluster_session):
    rapi = vcluster_session.rapi
    return Inventory(rapi.url, rapi.username, rapi.password, rapi.ca_file)


@pytest.fixture
def web(vcluster_session):
    instance = vcluster_session.add_instance(primary=vcluster_session.master)
    yield instance
    instance.remove()


def test_where_instances_are(inventory, web):
    assert inventory.where() == {web.name: "node1.vc"}


def test_labels(inventory, web, vcluster_session):
    assert inventory.labels(web.name) == []
    inventory.label(web.name, "owner:me")
    assert inventory.labels(web.name) == ["owner:me"]
    assert vcluster_session.luxi.query_tags("instance", web.name) == ["owner:me"]


def test_what_is_refused(inventory, vcluster_session):
    with pytest.raises(UnknownInstance):
        inventory.labels("nosuch.vc")
    with pytest.raises(JobFailed):
        inventory.label("nosuch.vc", "owner:me")
    rapi = vcluster_session.rapi
    stranger = Inventory(rapi.url, "stranger", "guess", rapi.ca_file)
    with pytest.raises(Refused):
        stranger.where()
