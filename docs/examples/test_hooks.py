import pytest

HOOK = """\
#!/bin/sh
echo "$GANETI_INSTANCE_NAME" >> "$GANETI_ROOTDIR/root/added"
"""


@pytest.mark.vcluster(nodes=2)
def test_hook_runs_on_master_and_primary(vcluster):
    for node in vcluster.nodes:
        hook = node.path("/etc/ganeti/hooks/instance-add-post.d/50-note")
        hook.parent.mkdir()
        hook.write_text(HOOK)
        hook.chmod(0o755)
    vcluster.add_instance("web", primary="node2")
    for node in vcluster.nodes:
        assert node.path("/root/added").read_text() == "web.vc\n"
