"""What Ganeti tells of the OS definitions of its nodes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.errors import JobFailed
from tests.rows.ganeti_copy import copy_ganeti
from tests.rows.identities import uuid_of
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

_FIELDS = ["name", "valid", "hidden", "blacklisted", "variants", "parameters", "api_versions"]


def known(cluster: VirtualCluster) -> dict[str, dict[str, Any]]:
    """Give what Ganeti finds, by name."""
    op = {"OP_ID": "OP_OS_DIAGNOSE", "output_fields": _FIELDS, "names": []}
    [rows] = cluster.submit(op).wait(TIMEOUT)
    return {row[0]: dict(zip(_FIELDS, row)) for row in rows}


def listed(cluster: VirtualCluster) -> list[str]:
    return sorted(cluster.run("gnt-os", "list", "--no-headers").lines)


@shows(
    "node OS discovery",
    "list, info and diagnose tell variants, parameters and API versions",
    because=("search-paths",),
)
def test_definitions_are_found(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_os(
        "greeter", variants=("plain", "loud"), parameters={"greeting": "What to write"}, api_versions=(15, 20)
    )
    assert listed(vcluster) == ["dd+default", "greeter+loud", "greeter+plain"]
    assert sorted(vcluster.rapi.get("os")) == listed(vcluster)
    told = vcluster.run("gnt-os", "info", "greeter").stdout
    for line in ("valid: True", "- 15\n", "- 20\n", "- loud\n", "- plain\n", "- greeting: What to write"):
        assert line in told
    told = vcluster.run("gnt-os", "diagnose").stdout
    assert "OS: greeter [global status: valid]\n" in told
    for node in vcluster.nodes:
        # By its UUID: LUOsDiagnose gives what the RPC gave (lib/cmdlib/operating_system.py:75).
        start = f"  Node: {uuid_of(vcluster, node.name)}"
        line = next(one for one in told.splitlines() if one.startswith(start) and "greeter" in one)
        assert f"status: valid (path: {node.seen_path('/srv/ganeti/os/greeter')})" in line
        assert "[API versions: 15, 20] [variants: plain, loud] [parameters: greeting]" in line
    assert vcluster.verify() == []


@shows("node OS discovery", "a broken definition is told of with the reason, and no instance gets it")
def test_broken_definitions(vcluster: VirtualCluster) -> None:
    scripts = vcluster.scripts
    for folder in scripts.add_os("gone"):
        (folder / "create").unlink()
    for folder in scripts.add_os("asleep"):
        (folder / "import").chmod(0o644)
    for folder in scripts.add_os("old", api_versions=(7,)):
        assert folder.is_dir()
    for folder in scripts.add_os("odd"):
        (folder / "ganeti_api_version").write_text("twenty\n", encoding="ascii")
    for folder in scripts.add_os("silent"):
        (folder / "parameters.list").unlink()
    told = vcluster.run("gnt-os", "diagnose", check=False)
    assert told.returncode == 1
    reasons = {
        "gone": r"A create script \(trusted or untrusted\) under path '.*' must exist",
        "asleep": r"File 'import' under path '.*' is not executable",
        "old": r"API version mismatch for path '.*': found \[7\], want",
        "odd": r"API version\(s\) can't be converted to integer",
        "silent": r"File 'parameters.list' under path '.*' is missing",
    }
    second = uuid_of(vcluster, "node2")
    for name, reason in reasons.items():
        assert f"OS: {name} [global status: invalid]" in told.stdout
        assert re.search(rf"Node: {second}, status: invalid - {reason}", told.stdout), name
    assert {name for name, one in known(vcluster).items() if one["valid"]} == {"dd"}
    assert listed(vcluster) == ["dd+default"]
    with pytest.raises(JobFailed, match=r"File 'import' under path '.*' is not executable"):
        vcluster.add_instance("web", "file", primary="node2", os="asleep+default")
    assert {one.code for one in vcluster.verify()} == {"ENODEOS"}


@shows(
    "node OS discovery",
    "one that some nodes lack or have otherwise counts for the others only, and verify tells",
)
def test_definition_on_some_nodes(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_os("rare", nodes=["node1", "node2"])
    vcluster.scripts.add_os("uneven", variants=("a", "b"), nodes=["node1", "node2"])
    vcluster.scripts.add_os("uneven", variants=("b", "c"), nodes=["node3"])
    told = vcluster.run("gnt-os", "diagnose", check=False).stdout
    assert "OS: rare [global status: partial valid]" in told
    assert f"Node: {uuid_of(vcluster, 'node3')}, status: OS not found" in told
    found = known(vcluster)
    assert (found["rare"]["valid"], found["uneven"]["valid"]) == (False, True)
    assert listed(vcluster) == ["dd+default", "uneven+b"]
    problems = [one for one in vcluster.verify() if one.code == "ENODEOS"]
    # The others are held to whichever node comes first, by uuid (lib/cmdlib/cluster/verify.py, refos_img).
    assert {one.item for one in problems} in ({"node3.vc"}, {"node1.vc", "node2.vc"})
    # Where it is it can be installed, elsewhere not.
    assert vcluster.add_instance("web", "file", primary="node2", os="rare+default").status == "running"
    with pytest.raises(JobFailed, match="Directory for OS rare not found in search path"):
        vcluster.add_instance("other", "file", primary="node3", os="rare+default")


@shows("node OS discovery", "a node that is offline, or does not answer, has no say")
def test_nodes_that_do_not_answer(vcluster: VirtualCluster) -> None:
    vcluster.scripts.add_os("rare", nodes=["node1"])
    vcluster.run("gnt-node", "modify", "--offline=yes", "--auto-promote", "node3")
    assert not known(vcluster)["rare"]["valid"]
    vcluster.node("node2").daemon("noded").kill()
    assert known(vcluster)["rare"]["valid"]
    assert listed(vcluster) == ["dd+default", "rare+default"]


@pytest.mark.slow
@shows(
    "node OS discovery",
    "the node's own definition goes before one of the same name that the installation has",
)
def test_definition_that_hides_another(vcluster: VirtualCluster, tmp_path: Path) -> None:
    share = copy_ganeti(vcluster.ganeti, tmp_path)
    shutil.copytree(vcluster.master.path("/srv/ganeti/os/dd"), share.parent / "os" / "twice")
    with build_cluster(ClusterSpec(nodes=1, ganeti=str(tmp_path)), vcluster.parts.settings) as cluster:
        assert listed(cluster) == ["dd+default", "twice+default"]
        cluster.scripts.add_os("twice", variants=("own",))
        assert listed(cluster) == ["dd+default", "twice+own"]
        # Ganeti's own fault: it takes six values of the seven that it is given (lib/client/gnt_os.py:220).
        told = cluster.run("gnt-os", "diagnose", check=False)
        assert (told.returncode, "too many values to unpack" in told.stderr) == (1, True)


@shows("node OS discovery", "modify hides, blacklists and sets parameters for all instances of an OS")
def test_modify(vcluster: VirtualCluster) -> None:
    create = 'printf "$OSP_GREETING" | dd of="$DISK_0_PATH" conv=notrunc status=none'
    vcluster.scripts.add_os("greeter", create=create, parameters={"greeting": "What to write"})
    vcluster.run("gnt-os", "modify", "-O", "greeting=hello", "greeter+default")
    web = vcluster.add_instance("web", "file", primary="node2", os="greeter+default")
    [disk] = vcluster.node("node2").path("/srv/ganeti/file-storage/web.vc").iterdir()
    assert disk.read_bytes().startswith(b"hello\0")
    told = vcluster.run("gnt-os", "info", "greeter", "greeter+default").stdout
    assert "hidden: False" in told
    assert "greeting: hello" in told

    vcluster.run("gnt-os", "modify", "--hidden=yes", "--blacklisted=yes", "greeter")
    assert (
        "OS: greeter [global status: valid] [hidden] [blacklisted]"
        in vcluster.run("gnt-os", "diagnose").stdout
    )
    assert listed(vcluster) == ["dd+default"]
    vcluster.run("gnt-os", "modify", "--blacklisted=yes", "greeter+default")
    with pytest.raises(JobFailed, match=r"Guest OS 'greeter\+default' is not allowed for installation"):
        vcluster.add_instance("other", "file", os="greeter+default")
    # What there is goes on.
    web.reboot()
    assert web.status == "running"
    vcluster.run("gnt-os", "modify", "--hidden=no", "--blacklisted=no", "greeter")
    assert listed(vcluster) == ["dd+default", "greeter+default"]

    refused = vcluster.run("gnt-os", "modify", "-O", "volume=11", "greeter+default", check=False)
    assert refused.returncode == 1
    assert "The following parameters are not supported by the OS greeter: volume" in refused.stderr
    refused = vcluster.run("gnt-os", "modify", "greeter", check=False)
    assert "At least one of OS parameters or hypervisor parameters must be passed" in refused.stderr
