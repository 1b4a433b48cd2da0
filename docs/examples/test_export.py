"""An instance is exported to one node, lost, and imported on another."""

import pytest


@pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))
def test_comes_back_from_its_export(vcluster):
    web = vcluster.add_instance("web", "file", primary="node1")
    [disk] = web.disk_paths()
    content = disk.read_bytes()
    web.export("node3.vc")
    web.remove()

    again = vcluster.add_instance(
        "web",
        "file",
        primary="node2",
        mode="import",
        src_node="node3.vc",
        src_path="/var/lib/ganeti/export/web.vc",
        disks=[],  # as they were exported
    )
    [disk] = again.disk_paths()
    assert disk.read_bytes() == content
