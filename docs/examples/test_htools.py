import pytest


@pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file", "sharedfile"))
def test_balancing(vcluster):
    for node in vcluster.nodes:
        node.set_capacity(memory=8192, cpus=8)
    for _ in range(2):
        vcluster.add_instance(disk_template="sharedfile", primary="node1", memory=1024)

    plan = vcluster.run("hbal", "-L", "--print-commands").stdout
    assert "gnt-instance migrate" in plan

    vcluster.run("hbal", "-L", "-X")
    assert len({instance.primary.name for instance in vcluster.instances}) == 2
