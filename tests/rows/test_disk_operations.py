"""Row "disk operations": diskless, file and sharedfile, each node with file storage of its own."""

from __future__ import annotations

from typing import Callable

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.live.effects import marker, running_on, seen
from tests.rows.disk_files import MIB, fill, give_small_file_storage, holders, sizes
from tests.rows.showing import shows
from tests.versions import NO_TRANSFERS

pytestmark = pytest.mark.vcluster(disk_templates=("diskless", "file", "sharedfile"))

ROW = "disk operations"
OWN_STORAGE = ("file-storage-defaults", "file-storage-files", "file-storage-folders")


@shows(ROW, "a diskless instance has no disk, and gets none")
def test_diskless_instances_have_no_disks(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "diskless", primary="node1", start=False)
    assert (instance.disk_paths(), instance.activate_disks()) == ([], [])
    with pytest.raises(JobFailed, match="Invalid disk index: 0"):
        instance.grow_disk(8)
    with pytest.raises(JobFailed, match="Must specify disk type on diskless instance"):
        instance.add_disk(8)
    with pytest.raises(JobFailed, match=r"'one\.vc' has no disks"):
        instance.recreate_disks()
    instance.move("node2")
    assert instance.primary.name == "node2.vc"


@shows(ROW, "the disk of a file-based instance is on its own node only", because=OWN_STORAGE)
def test_file_disks_are_on_their_own_node_only(vcluster: VirtualCluster) -> None:
    one = vcluster.add_instance("one", "file", primary="node1", disks=[{"size": 16}, {"size": 8}])
    # Where in the storage it is to be may be chosen, as with --file-storage-dir.
    two = vcluster.add_instance("two", "file", primary="node2", file_storage_dir="rack/shelf")
    assert (holders(vcluster, one), holders(vcluster, two)) == (["node1"], ["node2"])
    assert [marker(path) for path in one.disk_paths()] == ["one.vc disk 0\n", "one.vc disk 1\n"]
    assert two.disk_paths()[0].is_relative_to(
        vcluster.node("node2").path("/srv/ganeti/file-storage/rack/shelf/two.vc")
    )
    stored = one.info(static=True)["disks"][0]["logical_id"][1]
    assert stored.startswith("/srv/ganeti/file-storage/one.vc/")
    assert vcluster.verify() == []

    one.remove()
    two.remove()
    assert (holders(vcluster, one), holders(vcluster, two)) == ([], [])


@shows(
    ROW,
    "the disk of a sharedfile instance is seen by all nodes, and stays when it migrates",
    because=OWN_STORAGE,
)
def test_sharedfile_disks_are_seen_by_all_nodes(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "sharedfile", primary="node1")
    [disk] = instance.disk_paths()
    written = fill(disk, "written on node 1 ")
    assert holders(vcluster, instance) == []
    stored = instance.info(static=True)["disks"][0]["logical_id"][1]
    assert {node.path(stored).resolve() for node in vcluster.nodes} == {disk.resolve()}

    instance.migrate("node3")
    assert running_on(vcluster, "one.vc") == ["node3.vc"]
    instance.grow_disk(8)
    assert disk.read_bytes() == written + bytes(8 * MIB)
    instance.remove()
    assert not disk.exists()


@shows(ROW, "disks grow, are added and removed, and follow a rename and its way back", because=OWN_STORAGE)
def test_disks_grow_and_come_and_go(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node2")
    written = fill(instance.disk_paths()[0], "old ")
    instance.grow_disk(8)
    instance.grow_disk(40, absolute=True)
    with pytest.raises(JobFailed, match=r"Requested size \(8M\) is smaller than current disk size"):
        instance.grow_disk(8, absolute=True)
    instance.add_disk(4, name="data", mode="ro")
    assert sizes(instance) == [40, 4]
    assert instance.disk_paths()[0].read_bytes() == written + bytes(24 * MIB)
    assert instance.field("disk.names") == [None, "data"]

    # Ganeti wants hotplug for it, which only KVM has (lib/cmdlib/instance_set_params.py, _HotplugDevice).
    with pytest.raises(JobFailed, match="can't remove volume from a running instance without using hotplug"):
        instance.remove_disk()
    instance.stop()
    removed = instance.disk_paths()[1]
    instance.remove_disk()
    assert not removed.exists()

    # A disk that is detached lies beside the instances' folders, until it is attached again.
    [uuid], [attached] = instance.field("disk.uuids"), instance.disk_paths()
    instance.modify(disks=[("detach", 0, {})])
    assert (instance.disk_paths(), attached.exists()) == ([], False)
    assert (attached.parent.parent / attached.name).read_bytes().startswith(written)
    instance.modify(disks=[("attach", -1, {"uuid": uuid})])
    [again] = instance.disk_paths()
    assert again.parent == attached.parent
    assert again.read_bytes().startswith(written)

    for name in ("two", "one"):
        instance.rename(name)
        assert instance.disk_paths()[0].parent == vcluster.node("node2").path(
            f"/srv/ganeti/file-storage/{name}.vc"
        )
        assert sizes(instance) == [40]
    assert not vcluster.node("node2").path("/srv/ganeti/file-storage/two.vc").exists()
    instance.start()
    assert vcluster.verify() == []


@shows(ROW, "lost disks are missed, recreated, and installed anew", because=OWN_STORAGE)
def test_lost_disks_are_recreated(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node1")
    [disk] = instance.disk_paths()
    with pytest.raises(JobFailed, match="is marked to be up, cannot recreate disks"):
        instance.recreate_disks()
    disk.unlink()
    assert [problem.code for problem in vcluster.verify()] == ["EINSTANCEFAULTYDISK"]
    instance.stop()
    instance.recreate_disks([(0, {"size": 24})])
    assert sizes(instance) == [24]
    assert marker(disk) == ""
    # Ganeti makes file disks with O_EXCL (lib/storage/filestorage.py, CreateFile): it overwrites none.
    with pytest.raises(JobFailed, match=r"can't create: .* File exists"):
        instance.recreate_disks()
    instance.reinstall()
    assert marker(disk) == "one.vc disk 0\n"
    instance.start()

    instance.stop()
    instance.recreate_disks(node="node3")
    # What is left on the old node is for the administrator to remove, as Ganeti says.
    assert holders(vcluster, instance) == ["node1", "node3"]
    assert instance.primary.name == "node3.vc"
    instance.start()
    assert running_on(vcluster, "one.vc") == ["node3.vc"]


@NO_TRANSFERS
@shows(ROW, "an instance is moved, its disks copied from node to node over TLS", because=OWN_STORAGE)
def test_move_copies_the_disks(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node1")
    written = fill(instance.disk_paths()[0], "what has to arrive ")
    result = vcluster.run("gnt-instance", "move", "-f", "-n", "node2", "one")
    assert "disk/0 finished receiving data" in result.stdout + result.stderr
    assert holders(vcluster, instance) == ["node2"]
    assert instance.disk_paths()[0].read_bytes() == written
    assert running_on(vcluster, "one.vc") == ["node2.vc"]

    shared = vcluster.add_instance("two", "sharedfile", primary="node1")
    with pytest.raises(JobFailed, match="disk type sharedfile and is not suitable for copying"):
        shared.move("node2")


@shows(ROW, "another node becomes primary once the disks are carried there by scp", because=OWN_STORAGE)
def test_new_primary_has_the_disks_that_were_carried_there(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node1")
    written = fill(instance.disk_paths()[0], "carried ")
    with pytest.raises(JobFailed, match="Instance is still running on node1"):
        instance.modify(pnode="node2")
    instance.stop()
    instance.modify(pnode="node2")
    # The books say so, the disks are where they were.
    with pytest.raises(JobFailed, match="Disk consistency error"):
        instance.start()
    instance.stop()

    first, second = (node.seen_path("/srv/ganeti/file-storage") for node in vcluster.nodes[:2])
    vcluster.run(
        "scp", "-q", "-r", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", f"{first}/one.vc",
        f"root@node2.vc:{second}",
    )  # fmt: skip
    instance.start()
    assert running_on(vcluster, "one.vc") == ["node2.vc"]
    assert instance.disk_paths()[0].read_bytes() == written


@shows(ROW, "disks are activated and deactivated", because=OWN_STORAGE)
def test_disks_are_activated_and_deactivated(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node2", start=False)
    [(node, disk, path)] = instance.activate_disks()
    assert (node, disk, path) == (
        "node2.vc",
        "disk/0",
        seen(vcluster.node("node2"), instance.disk_paths()[0]),
    )
    instance.deactivate_disks()
    instance.start()
    with pytest.raises(JobFailed, match="is marked to be up, cannot shutdown disks"):
        instance.deactivate_disks()
    assert vcluster.run("gnt-cluster", "verify-disks").returncode == 0


@shows(ROW, "disks are converted from file to sharedfile and back", because=OWN_STORAGE)
def test_disk_template_is_converted(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node2", start=False)
    written = fill(instance.disk_paths()[0], "converted ")
    for template, on_nodes in (("sharedfile", []), ("file", ["node2"])):
        instance.modify(disk_template=template)
        assert instance.disk_template == template
        assert holders(vcluster, instance) == on_nodes
        assert instance.disk_paths()[0].read_bytes() == written
    with pytest.raises(JobFailed, match="Conversion to the 'diskless' disk template is not supported"):
        instance.modify(disk_template="diskless")


@shows(
    ROW,
    "new disks are wiped when the cluster says so, by Ganeti's own fault not below 10 MiB",
    because=OWN_STORAGE,
)
def test_disks_are_wiped(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-cluster", "modify", "--prealloc-wipe-disks=yes")
    instance = vcluster.add_instance("one", "file", primary="node1")
    # Wiped means written, where it was a hole.
    assert instance.disk_paths()[0].stat().st_blocks * 512 >= 16 * MIB
    # A tenth of the disk at a time, in whole MiB: none at all below 10 (lib/cmdlib/instance_storage.py, WipeDisks).
    with pytest.raises(JobFailed, match="float division by zero"):
        vcluster.add_instance("two", "file", primary="node1", disks=[{"size": 8}])


@NO_TRANSFERS
@shows(
    ROW, "a node whose file storage is full: a move there fails and takes nothing away", because=OWN_STORAGE
)
def test_move_to_a_node_whose_file_storage_is_full(vcluster: VirtualCluster) -> None:
    small = vcluster.node("node2")
    give_small_file_storage(vcluster, small, 8)
    # Disks are sparse, and Ganeti does not ask beforehand whether there is room (DTS_NO_FREE_SPACE_CHECK).
    instance = vcluster.add_instance("one", "file", primary="node1")
    written = fill(instance.disk_paths()[0], "too much ")
    with pytest.raises(
        JobFailed, match="Errors during disk copy: Failed to transfer instance data"
    ) as caught:
        instance.move(small)
    assert "No space left on device" in str(caught.value)
    assert instance.primary.name == "node1.vc"
    assert holders(vcluster, instance) == ["node1"]
    assert instance.disk_paths()[0].read_bytes() == written


@shows(
    ROW,
    "disks on a node that is offline are not touched, and are left there by a removal",
    because=OWN_STORAGE,
)
def test_disks_of_an_offline_node(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "file", primary="node2")
    vcluster.node("node2").crash()
    vcluster.run("gnt-node", "modify", "--offline=yes", "node2")
    not_possible: list[Callable[[], object]] = [lambda: instance.grow_disk(8), instance.activate_disks]
    for change in not_possible:
        with pytest.raises(JobFailed, match=r"Can't use offline node: node2\.vc"):
            change()
    with pytest.raises(
        JobFailed, match=r"Failed to create directory .* on node node2\.vc: Node is marked offline"
    ):
        instance.add_disk(8)
    no_proof_of_death: list[Callable[[], object]] = [lambda: instance.move("node3"), instance.remove]
    for give_up in no_proof_of_death:
        with pytest.raises(JobFailed, match=r"Could not shutdown instance .* Node is marked offline"):
            give_up()
    instance.remove(ignore_failures=True)
    assert vcluster.instances == []
    assert holders(vcluster, instance) == ["node2"]


@shows(ROW, "a folder that is left of an earlier instance is not overwritten", because=OWN_STORAGE)
def test_name_clash_with_what_is_left_on_a_node(vcluster: VirtualCluster) -> None:
    storage = vcluster.node("node2").path("/srv/ganeti/file-storage")
    (storage / "two.vc").mkdir()
    (storage / "two.vc/precious").write_bytes(b"precious")
    instance = vcluster.add_instance("one", "file", primary="node2", start=False)
    # Ganeti changes its books first (lib/cmdlib/instance.py, LUInstanceRename.Exec), and says so.
    with pytest.raises(JobFailed, match=r"but the instance has been renamed in Ganeti.*both locations exist"):
        instance.rename("two")
    assert [one.name for one in vcluster.instances] == ["two.vc"]
    assert (storage / "two.vc/precious").read_bytes() == b"precious"
    assert holders(vcluster, instance) == ["node2"]

    (storage / "two.vc/precious").unlink()
    (storage / "two.vc").rmdir()
    (storage / "one.vc").rename(storage / "two.vc")
    renamed = vcluster.instance("two")
    renamed.start()
    with pytest.raises(JobFailed, match=r"Instance 'two\.vc' is already in the cluster"):
        vcluster.add_instance("two", "file", primary="node1")
