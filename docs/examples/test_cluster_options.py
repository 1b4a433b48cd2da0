import pytest


@pytest.mark.vcluster(nodes=1, init_options=("--candidate-pool-size=3", "--node-parameters=spindle_count=2"))
def test_cluster_is_made_and_changed(vcluster):
    assert vcluster.luxi.query_cluster_info()["ndparams"]["spindle_count"] == 2

    vcluster.run("gnt-cluster", "modify", "--candidate-pool-size=5")
    vcluster.rename("blue")

    info = vcluster.rapi.info()
    assert (info["name"], info["candidate_pool_size"]) == ("blue.vc", 5)
