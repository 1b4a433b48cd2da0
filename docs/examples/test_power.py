"""What becomes of instances when their node fails."""

import pytest


@pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "sharedfile"))
def test_instance_of_a_dead_node(vcluster):
    node = vcluster.node("node2")
    instance = vcluster.add_instance(primary=node, disk_template="sharedfile")

    node.power_off()

    assert instance.status == "ERROR_nodedown"
    vcluster.run("gnt-node", "modify", "--offline=yes", "node2")
    instance.failover("node3", ignore_consistency=True)
    assert instance.status == "running"


@pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "sharedfile"))
def test_watcher_starts_what_a_reboot_ended(vcluster):
    instance = vcluster.add_instance(primary="node2")

    vcluster.node("node2").power_cycle()
    assert instance.status == "ERROR_down"

    vcluster.master.run_watcher()
    assert instance.status == "running"
