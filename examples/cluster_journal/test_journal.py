import pytest

pytestmark = pytest.mark.vcluster(nodes=1)


@pytest.mark.vcluster(daemons=[])
def test_daemons_of_the_house(vcluster):
    assert vcluster.master.daemon("confd").running


def test_a_fault(vcluster):
    with vcluster.drain_job_queue():
        assert vcluster.luxi.query_config_values(["drain_flag"]) == {"drain_flag": True}
    assert vcluster.faults == []
