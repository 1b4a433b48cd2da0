import pytest


@pytest.mark.vcluster(nodes=2)
def test_restricted_command(vcluster):
    vcluster.scripts.add_restricted_command("kernel", "uname -s")
    told = vcluster.run("gnt-node", "restricted-command", "-M", "kernel", "node2").lines
    assert "node2.vc: Linux" in told
