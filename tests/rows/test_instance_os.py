"""OS definitions of a test's own install, rename and reinstall instances, and refuse what they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.errors import JobFailed
from tests.live.effects import disks, marker, seen
from tests.rows.recorded import calls, recording
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

#: Writes what it was given to the beginning of the first disk.
WRITE = 'printf "$OSP_GREETING from $OS_VARIANT" | dd of="$DISK_0_PATH" conv=notrunc status=none'


def disk_of(cluster: VirtualCluster, name: str, node: str) -> Path:
    [(where, [disk])] = disks(cluster, name).items()
    assert where == node
    return disk


@shows(
    "instance OS operations",
    "create runs on the primary node, with disks, NICs, variant and public, private and secret parameters",
    because=("command-environment", "file-storage-files", "search-paths"),
)
def test_create(vcluster: VirtualCluster) -> None:
    parameters = {"greeting": "What to write", "pin": "A number", "once": "Another"}
    vcluster.scripts.add_os(
        "greeter", create=recording("create", WRITE), variants=("plain", "loud"), parameters=parameters
    )
    vcluster.add_instance(
        "web",
        "file",
        primary="node2",
        disks=[{"size": 16}, {"size": 8, "name": "data"}],
        nics=[{"mac": "aa:00:00:12:34:56"}],
        memory=96,
        os="greeter+loud",
        osparams={"greeting": "hello"},
        osparams_private={"pin": "1234"},
        osparams_secret={"once": "5678"},
    )
    second = vcluster.node("node2")
    [told] = calls(second, "create")
    wanted = {
        "OS_API_VERSION": "20",
        "OS_NAME": "greeter",
        "OS_VARIANT": "loud",
        "OSP_GREETING": "hello",
        "OSP_PIN": "1234",
        "OSP_ONCE": "5678",
        "INSTANCE_NAME": "web.vc",
        "INSTANCE_OS": "greeter+loud",
        "INSTANCE_BE_maxmem": "96",
        "HYPERVISOR": "fake",
        "DISK_COUNT": "2",
        "DISK_0_SIZE": "16",
        "DISK_0_ACCESS": "rw",
        "DISK_1_NAME": "data",
        "DISK_0_BACKEND_TYPE": "file:loop",
        "NIC_COUNT": "1",
        "NIC_0_MAC": "aa:00:00:12:34:56",
        "HOST": "node2.vc",
        "CWD": vcluster.node("node2").seen_path("/srv/ganeti/os/greeter"),
    }
    assert {name: told.get(name) for name in wanted} == wanted
    assert "INSTANCE_REINSTALL" not in told
    [(where, found)] = disks(vcluster, "web.vc").items()
    files = sorted(found, key=lambda file: file.suffix)
    assert where == "node2.vc"
    assert [told["DISK_0_PATH"], told["DISK_1_PATH"]] == [seen(second, one) for one in files]
    assert files[0].read_bytes().startswith(b"hello from loud\0")
    # What is secret is used and not kept.
    config = vcluster.master.path("/var/lib/ganeti/config.data").read_text(encoding="utf-8")
    assert ("1234" in config, "5678" in config) == (True, False)


@shows(
    "instance OS operations",
    "reinstall runs create again, by another OS and parameters too; not while it runs or has no disks",
)
def test_reinstall(vcluster: VirtualCluster) -> None:
    web = vcluster.add_instance("web", "file", primary="node3")
    disk = disk_of(vcluster, "web.vc", "node3.vc")
    assert marker(disk) == "web.vc disk 0\n"
    vcluster.scripts.add_os(
        "greeter", create=recording("create", WRITE), parameters={"greeting": "What to write"}
    )
    with pytest.raises(JobFailed, match=r"Instance 'web\.vc' is marked to be up.*cannot reinstall"):
        web.reinstall()
    web.stop()
    web.reinstall("greeter+default", osparams={"greeting": "again"})
    assert web.field("os") == "greeter+default"
    assert disk.read_bytes().startswith(b"again from default")
    [told] = calls(vcluster.node("node3"), "create")
    assert told["INSTANCE_REINSTALL"] == "1"
    # Over RAPI it is stopped before, and started afterwards.
    job = vcluster.rapi.post("instances/web.vc/reinstall", {"os": "greeter+default"})
    vcluster.rapi.wait_job(job, TIMEOUT)
    assert (len(calls(vcluster.node("node3"), "create")), web.status) == (2, "running")

    bare = vcluster.add_instance("bare", start=False)
    with pytest.raises(JobFailed, match=r"Instance 'bare\.vc' has no disks"):
        bare.reinstall()


@shows(
    "instance OS operations",
    "rename runs the rename script with the old name; where that fails the new name stays, with a warning",
)
def test_rename(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_os("plain", rename=recording("rename"))
    web = vcluster.add_instance("web", "file", primary="node2", os="plain+default", start=False)
    web.rename("shop")
    [told] = calls(vcluster.node("node2"), "rename")
    assert (told["OLD_INSTANCE_NAME"], told["INSTANCE_NAME"]) == ("web.vc", "shop.vc")
    disk = disk_of(vcluster, "shop.vc", "node2.vc")
    assert told["DISK_0_PATH"] == seen(vcluster.node("node2"), disk)
    assert marker(disk) == "web.vc disk 0\n"

    vcluster.scripts.add_os("plain", rename="echo the registry is closed; exit 4", nodes=["node2"])
    job = vcluster.submit({"OP_ID": "OP_INSTANCE_RENAME", "instance_name": "shop.vc", "new_name": "mall.vc"})
    assert job.wait(TIMEOUT) == ["mall.vc"]
    log = "\n".join(str(entry.message) for entry in job.log)
    assert "Could not run OS rename script for instance mall.vc on node node2.vc" in log
    assert "the registry is closed" in log

    # A name that is taken.
    vcluster.add_instance("other")
    with pytest.raises(JobFailed, match=r"Instance 'other\.vc' is already in the cluster"):
        vcluster.instance("mall").rename("other")
    assert [one.name for one in vcluster.instances] == ["mall.vc", "other.vc"]


@shows(
    "instance OS operations",
    "a create script that fails fails the job, with the end of its log; the instance stays, stopped",
)
def test_create_that_fails(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_os("broken", create="echo no mirror; echo is reachable >&2; exit 5", nodes=["node2"])
    with pytest.raises(JobFailed) as caught:
        vcluster.add_instance("web", "file", primary="node2", os="broken+default")
    assert (
        "Could not add os for instance web.vc on node node2.vc: OS create script failed" in caught.value.error
    )
    assert "exited with exit code 5" in caught.value.error
    assert "no mirror\nis reachable" in caught.value.error
    [log] = vcluster.node("node2").path("/var/log/ganeti/os").glob("add-broken+default-web.vc-*.log")
    assert log.read_text(encoding="utf-8") == "no mirror\nis reachable\n"
    assert vcluster.instance("web").status == "ADMIN_down"
    assert list(disks(vcluster, "web.vc")) == ["node2.vc"]
    vcluster.instance("web").remove()
    assert disks(vcluster, "web.vc") == {}


@shows(
    "instance OS operations",
    "an unknown variant or parameter is refused, and what the verify script says no to",
)
def test_what_is_refused(vcluster: VirtualCluster) -> None:
    verify = '[ "$OSP_SIZE" = small ] || { echo size "$OSP_SIZE" is not for sale; exit 1; }'
    vcluster.scripts.add_os(
        "shirts", verify=verify, variants=("red", "blue"), parameters={"size": "How large"}
    )
    vcluster.scripts.add_os("one-kind", variants=())

    def refused(os: str, **fields: Any) -> str:
        with pytest.raises(JobFailed) as caught:
            vcluster.add_instance("web", "file", primary="node2", os=os, **fields)
        return caught.value.error

    small = {"size": "small"}
    assert "OS 'shirts' does not support variant 'green'" in refused("shirts+green", osparams=small)
    assert "OS name 'shirts' must include a variant" in refused("shirts", osparams=small)
    assert "OS 'one-kind' does not support variants ('red' passed)" in refused("one-kind+red")
    assert "The following parameters are not supported by the OS shirts: colour" in refused(
        "shirts+red", osparams={**small, "colour": "red"}
    )
    assert "size large is not for sale" in refused("shirts+red", osparams={"size": "large"})
    assert vcluster.instances == []
    # A variant that is not listed may be forced; an OS without variants takes none.
    vcluster.add_instance("green", "file", os="shirts+green", osparams=small, force_variant=True)
    vcluster.add_instance("plain", "file", os="one-kind")
    assert [one.status for one in vcluster.instances] == ["running"] * 2


@shows("instance OS operations", "a definition that stands in a folder is taken as it is")
def test_definition_of_a_folder(vcluster: VirtualCluster, tmp_path: Path) -> None:
    [made] = vcluster.scripts.add_os("made", create=WRITE, parameters={"greeting": "Text"}, nodes=["node1"])
    folder = made.rename(tmp_path / "kept")
    folders = vcluster.scripts.copy_os(folder, "greeter")
    assert folders == [node.path("/srv/ganeti/os/greeter") for node in vcluster.nodes]
    vcluster.add_instance("web", "file", primary="node3", os="greeter+default", osparams={"greeting": "hi"})
    assert disk_of(vcluster, "web.vc", "node3.vc").read_bytes().startswith(b"hi from default")
    assert not made.exists()


@shows("instance OS operations", "an OS image is copied to the disk, without an OS definition")
def test_image(vcluster: VirtualCluster) -> None:
    image = vcluster.node("node2").path("/root/image")
    image.write_bytes(b"a system" + bytes(1 << 20))
    web = vcluster.add_instance(
        "web", "file", primary="node2", os=None, osparams={"os-image": seen(vcluster.node("node2"), image)}
    )
    assert web.status == "running"
    assert disk_of(vcluster, "web.vc", "node2.vc").read_bytes().startswith(b"a system\0")
    # One that needs a virtual machine to install is found, and refused without an image for that machine.
    for folder in vcluster.scripts.add_os("distrusted"):
        (folder / "create").rename(folder / "create_untrusted")
    assert "trusted: False" in vcluster.run("gnt-os", "info", "distrusted").stdout
    with pytest.raises(JobFailed, match="an install image has not been specified"):
        vcluster.add_instance("other", "file", primary="node2", os="distrusted+default")


@pytest.mark.slow
@shows(
    "instance OS operations",
    "export and import scripts move what they say between nodes; one that fails fails the job",
)
def test_export_and_import(vcluster: VirtualCluster) -> None:
    export = 'head -c 16 "$EXPORT_DEVICE"; echo "was $INSTANCE_NAME"'
    vcluster.scripts.add_os(
        "own",
        export=recording("export", export),
        import_=recording("import", 'exec dd of="$IMPORT_DEVICE" conv=notrunc status=none'),
        rename=recording("rename"),
    )
    web = vcluster.add_instance("web", "file", primary="node2", os="own+default")
    vcluster.run("gnt-backup", "export", "--long-sleep", "--node=node3", "web.vc")
    [told] = calls(vcluster.node("node2"), "export")
    assert told["EXPORT_DEVICE"] == seen(vcluster.node("node2"), disk_of(vcluster, "web.vc", "node2.vc"))
    assert (told["EXPORT_INDEX"], told["INSTANCE_NAME"]) == ("0", "web.vc")

    vcluster.scripts.add_os("own", export="echo out of paper >&2; exit 6", nodes=["node2"])
    failed = vcluster.run("gnt-backup", "export", "--long-sleep", "--node=node3", "web.vc", check=False)
    assert failed.returncode == 1
    assert "out of paper" in failed.stdout + failed.stderr
    assert web.status == "running"

    vcluster.add_name("copy.vc")
    source = ("--src-node=node3", "--src-dir=web.vc")
    vcluster.run("gnt-backup", "import", "--node=node1", *source, "-t", "file", "--no-ip-check", "copy.vc")
    [told] = calls(vcluster.master, "import")
    disk = disk_of(vcluster, "copy.vc", "node1.vc")
    assert (told["IMPORT_DEVICE"], told["IMPORT_INDEX"]) == (seen(vcluster.master, disk), "0")
    assert disk.read_bytes().startswith(b"web.vc disk 0\n\0\0was web.vc\n")
    [renamed] = calls(vcluster.master, "rename")
    assert (renamed["OLD_INSTANCE_NAME"], renamed["INSTANCE_NAME"]) == ("web.vc", "copy.vc")
