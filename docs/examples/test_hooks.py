import pytest


@pytest.mark.vcluster(nodes=2)
def test_hook_runs_on_master_and_primary(vcluster):
    vcluster.scripts.add_hook(
        "instance-add", "post", 'echo "$GANETI_INSTANCE_NAME" >> "$GANETI_ROOTDIR/root/added"'
    )
    vcluster.add_instance("web", primary="node2")
    for node in vcluster.nodes:
        assert node.path("/root/added").read_text() == "web.vc\n"
