import pytest
from inventory import Inventory, JobFailed, Refused, UnknownInstance

pytestmark = pytest.mark.vcluster(nodes=1)


@pytest.fixture
def inventory(vcluster_rapi):
    rapi = vcluster_rapi
    return Inventory(rapi.url, rapi.username, rapi.password, rapi.ca_file)


@pytest.fixture
def web(vcluster_rapi):
    vcluster_rapi.arrange(lambda cluster: cluster.add_instance("web", primary=cluster.master))
    return "web.vc"


def test_where_instances_are(inventory, web):
    assert inventory.where() == {web: "node1.vc"}


def test_labels(inventory, web, vcluster_rapi):
    assert inventory.labels(web) == []
    inventory.label(web, "owner:me")
    assert inventory.labels(web) == ["owner:me"]
    assert vcluster_rapi.client.get(f"instances/{web}/tags") == ["owner:me"]


def test_what_is_refused(inventory, vcluster_rapi):
    with pytest.raises(UnknownInstance):
        inventory.labels("nosuch.vc")
    with pytest.raises(JobFailed):
        inventory.label("nosuch.vc", "owner:me")
    stranger = Inventory(vcluster_rapi.url, "stranger", "guess", vcluster_rapi.ca_file)
    with pytest.raises(Refused):
        stranger.where()
