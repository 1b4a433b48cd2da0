import pytest

from pytest_ganeti_vcluster.errors import JobFailed


def test_disk_follows_its_instance(vcluster):
    web = vcluster.add_instance("web", "file", primary="node1", disks=[{"size": 32}])
    [disk] = web.disk_paths()
    disk.write_bytes(b"data" + bytes(disk.stat().st_size - 4))
    web.move("node2")
    assert web.disk_paths()[0].read_bytes().startswith(b"data")
    assert not disk.exists()


def test_bridge_that_one_node_lacks(vcluster):
    vcluster.node("node1").bridges = ["br0", "dmz"]
    web = vcluster.add_instance("web", primary="node1", nics=[{"link": "dmz"}])
    with pytest.raises(JobFailed, match="Missing bridges dmz"):
        web.migrate("node2")


def test_kernel_that_one_node_lacks(vcluster):
    for node in vcluster.nodes[:2]:
        kernel = node.path("/boot/vmlinuz-guest")
        kernel.parent.mkdir()
        kernel.touch()
    result = vcluster.run(
        "gnt-cluster", "modify", "-H", "xen-pvm:kernel_path=/boot/vmlinuz-guest", check=False
    )
    assert "validation failed on node node3.vc" in result.stdout + result.stderr
