import pytest
import urllib3


class InstanceLister:
    """The client under test: a few lines that a team might have in its inventory tool."""

    def __init__(self, url, username, password, ca_file):
        self.url = url
        self.headers = urllib3.make_headers(basic_auth=f"{username}:{password}")
        self.pool = urllib3.PoolManager(ca_certs=ca_file)

    def running(self):
        answer = self.pool.request("GET", f"{self.url}/2/instances?bulk=1", headers=self.headers)
        return sorted(one["name"] for one in answer.json() if one["status"] == "running")

    def close(self):
        self.pool.clear()


def lister_for(rapi):
    return InstanceLister(rapi.url, rapi.username, rapi.password, str(rapi.ca_file))


@pytest.fixture
def lister(vcluster_rapi):
    lister = lister_for(vcluster_rapi)
    yield lister
    lister.close()


@pytest.mark.vcluster(nodes=2)
def test_lists_running_instances(vcluster, lister):
    vcluster.add_instance("web")
    vcluster.add_instance("spare", start=False)
    assert lister.running() == ["web.vc"]


@pytest.mark.vcluster(nodes=2)
def test_finds_the_new_master(vcluster, lister):
    vcluster.add_instance("web")
    vcluster.nodes[1].run("gnt-cluster", "master-failover")
    assert lister.running() == ["web.vc"]
