"""Row export/import: instances whose disks are files, between nodes."""

from __future__ import annotations

import os

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance
from pytest_ganeti_vcluster.errors import JobFailed
from tests.rows.showing import shows
from tests.versions import NO_TRANSFERS

ROW = "export/import"
_MEBIBYTE = 1 << 20
_OWN_FILES = ("export-folders", "file-storage-files", "file-storage-folders")


#: Debian's, and that of a Ganeti which was built as its INSTALL says.
_EXPORTS = ("/var/lib/ganeti/export", "/srv/ganeti/export")


@pytest.fixture
def web(vcluster: VirtualCluster) -> VirtualInstance:
    """A running instance on node2 with two disks, each with something in it."""
    instance = vcluster.add_instance("web", "file", primary="node2", disks=[{"size": 16}, {"size": 8}])
    for disk in instance.disk_paths():
        with disk.open("r+b") as stream:
            stream.write(os.urandom(_MEBIBYTE))
    return instance


def _contents(instance: VirtualInstance) -> list[bytes]:
    return [disk.read_bytes() for disk in instance.disk_paths()]


def _listed(cluster: VirtualCluster) -> list[tuple[str, str]]:
    lines = cluster.run("gnt-backup", "list", "--no-headers", "--separator=|").lines
    return [(node, export) for node, _, export in (line.partition("|") for line in lines)]


@NO_TRANSFERS
@shows(
    ROW,
    "an export goes to another node over socat and TLS, and an instance is made of it",
    because=_OWN_FILES,
)
@shows(ROW, "exports are listed, replaced by newer ones wherever they are, and removed", because=_OWN_FILES)
def test_export_and_import(vcluster: VirtualCluster, web: VirtualInstance) -> None:
    contents = _contents(web)
    web.export("node1.vc")
    assert _listed(vcluster) == [("node1.vc", "web.vc")]
    web.export("node3.vc")
    assert web.status == "running"
    assert _listed(vcluster) == [("node3.vc", "web.vc")]
    node3 = vcluster.node("node3")
    [exported] = [f"{folder}/web.vc" for folder in _EXPORTS if node3.path(f"{folder}/web.vc").exists()]
    assert "name = web.vc" in node3.path(f"{exported}/config.ini").read_text()
    web.remove()

    again = vcluster.add_instance(
        "web",
        "file",
        primary="node1",
        mode="import",
        src_node="node3.vc",
        src_path=exported,
        disks=[],
    )
    assert again.primary.name == "node1.vc"
    assert _contents(again) == contents
    vcluster.run("gnt-backup", "remove", "web.vc")
    assert _listed(vcluster) == []
    assert vcluster.verify() == []


@NO_TRANSFERS
@shows(ROW, "a running instance is not exported without a shutdown, a stopped one is", because=_OWN_FILES)
def test_without_shutdown(vcluster: VirtualCluster, web: VirtualInstance) -> None:
    # Files have no snapshots (lib/storage/filestorage.py), and a live export is one of snapshots
    # (lib/cmdlib/backup.py, LUBackupExport.Exec).
    with pytest.raises(
        JobFailed, match="Not all disks could be snapshotted, and you requested a live export"
    ):
        web.export("node3.vc", shutdown=False)
    assert web.status == "running"
    web.stop()
    web.export("node3.vc", shutdown=False, remove_instance=True)
    assert _listed(vcluster) == [("node3.vc", "web.vc")]
    assert vcluster.instances == []


@NO_TRANSFERS
@shows(ROW, "a transfer that breaks off fails the job, and the instance runs again", because=_OWN_FILES)
def test_broken_transfer(vcluster: VirtualCluster, web: VirtualInstance) -> None:
    script = web.primary.path("/srv/ganeti/os/dd/export")
    script.write_text('#!/bin/bash\nhead -c 1000 "$EXPORT_DEVICE"\nexit 3\n', encoding="ascii")
    with pytest.raises(JobFailed, match=r"Export failed, errors in .*disk export: disk\(s\) 0, 1") as caught:
        web.export("node3.vc")
    assert "Exited with status 3" in str(caught.value)
    assert web.status == "running"
    # What has arrived stays, under another name.
    assert _listed(vcluster) == [("node3.vc", "web.vc.new")]


@shows(ROW, "a node that has not the cluster's certificate is refused by TLS", because=_OWN_FILES)
def test_other_certificate(vcluster: VirtualCluster, web: VirtualInstance) -> None:
    node3 = vcluster.node("node3")
    other = vcluster.master.path("/var/lib/ganeti/rapi.pem").read_bytes()
    # noded has its own in memory; who receives a disk reads it.
    node3.path("/var/lib/ganeti/server.pem").chmod(0o600)
    node3.path("/var/lib/ganeti/server.pem").write_bytes(other)
    # Which side tells of it first differs from one OpenSSL to the next.
    with pytest.raises(JobFailed, match=r"certificate verify failed|alert unknown ca"):
        web.export("node3.vc")
    assert web.status == "running"


@shows(ROW, "a target that is offline, and one that cannot write, are told", because=_OWN_FILES)
def test_target_that_cannot(vcluster: VirtualCluster, web: VirtualInstance) -> None:
    # Root may write into every folder.
    for folder in _EXPORTS:
        exports = vcluster.node("node1").path(folder)
        exports.rmdir()
        exports.touch()
    with pytest.raises(JobFailed, match="Not a directory"):
        web.export("node1.vc")
    assert web.status == "running"
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    with pytest.raises(JobFailed, match=r"[Oo]ffline"):
        web.export("node3.vc")
    assert web.status == "running"
