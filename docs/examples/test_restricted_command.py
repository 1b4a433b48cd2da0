import pytest


@pytest.mark.vcluster(nodes=2)
def test_restricted_command(vcluster):
    vcluster.scripts.add_restricted_command("who", "hostname")
    [_line, name, said] = vcluster.run("gnt-node", "restricted-command", "who", "node2").lines
    assert (name, said) == ("Node: node2.vc", "node2.vc")
