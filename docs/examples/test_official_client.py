import pytest

pytest.importorskip("pycurl")
pytest.importorskip("simplejson")


def test_official_client(vcluster_session):
    client = vcluster_session.rapi.ganeti_client()
    assert client.GetInfo()["name"] == vcluster_session.name
    assert set(client.GetNodes()) == {node.name for node in vcluster_session.nodes}
