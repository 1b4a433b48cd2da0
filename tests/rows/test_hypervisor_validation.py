"""Row "hypervisor validation": parameters of hypervisors, which need not be there, and what needs a privilege."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed
from tests.rows.showing import shows

ROW = "hypervisor validation"
#: Nowhere on this machine, so that it is never this machine's KVM that is asked.
KVM = "/srv/vcluster-trial/bin/kvm"

# All that Ganeti asks of it when it validates (lib/hypervisor/hv_kvm/__init__.py, _KVMOPTS_CMDS).
KVM_PROGRAM = """\
#!/bin/sh
case $1 in
  --help) echo "QEMU emulator version 7.2.0"; echo "-spice";;
  *) echo "pc-i440fx-7.2 Standard PC";;
esac
"""


def put_kvm(node: VirtualNode) -> None:
    """Give a node a KVM of its own."""
    put(node, KVM, KVM_PROGRAM)
    if node.cluster.ganeti.series != "3.0":
        # Since 3.1 the version is asked of this one, whatever `kvm_path` says (hv_kvm/__init__.py, ValidateParameters).
        put(node, "/usr/bin/kvm", KVM_PROGRAM)


def put(node: VirtualNode, path: str, content: str = "") -> None:
    """Make a file of a node."""
    place = node.path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content, encoding="ascii")
    place.chmod(0o755)


def modify(cluster: VirtualCluster, parameters: str) -> None:
    cluster.run("gnt-cluster", "modify", "-H", parameters)


def refused(cluster: VirtualCluster, command: str, *parameters: str) -> str:
    """Give what Ganeti says to parameters, when it refuses them."""
    with pytest.raises(CommandFailed) as caught:
        cluster.run(command, "modify", "-H", *parameters)
    result = caught.value.result
    return str(result.stdout + result.stderr)


@shows(ROW, "parameters of the fake hypervisor are checked")
def test_parameters_of_fake(vcluster: VirtualCluster) -> None:
    assert "Unknown parameter 'nonsense'" in refused(vcluster, "gnt-cluster", "fake:nonsense=1")
    assert "invalid migration mode (current value: 'wrong')" in refused(
        vcluster, "gnt-cluster", "fake:migration_mode=wrong"
    )
    assert "Unknown hypervisor type 'nonsense'" in refused(vcluster, "gnt-cluster", "nonsense:acpi=true")
    modify(vcluster, "fake:migration_mode=non-live")
    info = vcluster.luxi.query_cluster_info()
    assert info["hvparams"]["fake"]["migration_mode"] == "non-live"
    with pytest.raises(JobFailed, match=r"global and cannot be customized at instance level.*migration_mode"):
        vcluster.add_instance("one", hvparams={"migration_mode": "live"})


@shows(
    ROW,
    "parameters of KVM are checked, on every node against its own kernel and KVM",
    because=("hypervisor-files",),
)
def test_parameters_of_kvm(vcluster: VirtualCluster) -> None:
    # The syntax of values is a matter of the master alone.
    for wrong, told in (
        ("kvm:boot_order=floppyy", "'boot_order' fails syntax check"),
        ("kvm:cpu_mask=nonsense", "'cpu_mask' fails syntax check"),
        ("kvm:kvm_path=relative", "must be an absolute normalized path"),
        ("kvm:vnc_tls=maybe", "'vnc_tls' (value maybe) is not a valid boolean"),
    ):
        assert told in refused(vcluster, "gnt-cluster", wrong)

    there = f"kvm:kvm_path={KVM},kernel_path=/srv/vcluster-trial/kernel"
    for node in vcluster.nodes:
        put_kvm(node)
    for node in vcluster.nodes[:2]:
        put(node, "/srv/vcluster-trial/kernel")
    assert (
        "validation failed on node node3.vc: Parameter 'kernel_path' fails validation: not found or not a file"
        " (current value: '/srv/vcluster-trial/kernel')"
    ) in refused(vcluster, "gnt-cluster", there)
    put(vcluster.node("node3"), "/srv/vcluster-trial/kernel")
    modify(vcluster, there)

    for wrong, told in (
        ("kvm:machine_version=pc-99", "Unsupported machine version: pc-99"),
        ("kvm:vnc_bind_address=999.0.0.1", "must be either a valid IP address"),
        ("kvm:spice_bind=0.0.0.0,vnc_bind_address=0.0.0.0", "Both SPICE and VNC are configured"),
    ):
        assert told in refused(vcluster, "gnt-cluster", wrong)
    modify(vcluster, "kvm:machine_version=pc-i440fx-7.2")
    assert vcluster.luxi.query_cluster_info()["hvparams"]["kvm"]["kvm_path"] == KVM


@shows(
    ROW,
    "with KVM enabled its instances are made and changed, and have a console command; to start one needs KVM itself",
    because=("hypervisor-files",),
)
def test_instances_of_kvm(vcluster: VirtualCluster) -> None:
    for node in vcluster.nodes:
        put_kvm(node)
    vcluster.run(
        "gnt-cluster", "modify", "--enabled-hypervisors=fake,kvm", "-H", f"kvm:kvm_path={KVM},kernel_path="
    )
    assert vcluster.verify() == []
    instance = vcluster.add_instance(
        "one", primary="node2", hypervisor="kvm", start=False, hvparams={"boot_order": "network"}
    )
    with pytest.raises(JobFailed, match="'boot_order' fails syntax check"):
        instance.modify(hvparams={"boot_order": "floppyy"})
    with pytest.raises(
        JobFailed, match=r"on node node2.vc: Parameter 'kernel_path' fails validation: not found"
    ):
        instance.modify(hvparams={"kernel_path": "/srv/vcluster-trial/none"})
    instance.modify(hvparams={"vnc_bind_address": "127.0.0.1"})
    assert instance.field("hv/vnc_bind_address") == "127.0.0.1"
    console = vcluster.run("gnt-instance", "console", "--show-cmd", "one").stdout
    assert re.search(r"root@node2\.vc .*kvm-console-wrapper .* one\.vc ", console)
    # On loopback, what validates is the node's; what would run is looked for on the machine, under its own path.
    on_machine = f"Can't execute '{KVM} --help': not found"
    with pytest.raises(JobFailed, match=on_machine if vcluster.engine == "loopback" else "Could not start"):
        instance.start()
    assert vcluster.add_instance("two", primary="node2").status == "running"


@pytest.mark.only_on("loopback", "its default kernel is outside of what a node has of its own")
@shows(ROW, "parameters of Xen are checked for an OS", because=("hypervisor-files",))
def test_parameters_of_xen_for_an_os(vcluster: VirtualCluster) -> None:
    for node in vcluster.nodes:
        put(node, "/boot/vmlinuz-3-xenU")
        put(node, "/usr/lib/xen/boot/hvmloader")
        put(node, "/usr/lib/xen/bin/qemu-dm")
        put(node, "/etc/ganeti/vnc-cluster-password")
    defaults = vcluster.luxi.query_cluster_info()["hvparams"]
    for hypervisor, name, path in (
        ("xen-pvm", "kernel_path", "/boot/vmlinuz-3-xenU"),
        ("xen-hvm", "kernel_path", "/usr/lib/xen/boot/hvmloader"),
        ("xen-hvm", "device_model", "/usr/lib/xen/bin/qemu-dm"),
    ):
        assert defaults[hypervisor][name] == path

    # As Ganeti's QA does it (qa/qa_os.py, TestOsModifyValid).
    vcluster.run("gnt-os", "modify", "-H", "xen-pvm:root_path=/dev/sda5", "dd")
    vcluster.run("gnt-os", "modify", "-H", "xen-hvm:acpi=false,pae=true", "dd")
    assert vcluster.luxi.query_cluster_info()["os_hvp"] == {
        "dd": {"xen-pvm": {"root_path": "/dev/sda5"}, "xen-hvm": {"acpi": False, "pae": True}}
    }
    for wrong, told in (
        ("xen-pvm:nonsense=1", "Unknown parameter 'nonsense'"),
        ("xen-pvm:cpu_weight=0", "'cpu_weight' fails syntax check: invalid weight"),
        ("xen-pvm:kernel_path=/srv/vcluster-trial/none", "'kernel_path' fails validation: not found"),
        ("nonsense:acpi=false", "Unknown hypervisor type 'nonsense'"),
    ):
        assert told in refused(vcluster, "gnt-os", wrong, "dd")


@pytest.mark.only_on("loopback", "its default kernel is outside of what a node has of its own")
@pytest.mark.skipif(
    any(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in ("xm", "xl")),
    reason="this machine has Xen, which is not to be asked",
)
@shows(ROW, "with Xen enabled, the command that needs a privilege is named", because=("hypervisor-files",))
def test_xen_cannot_be_asked(vcluster: VirtualCluster) -> None:
    for node in vcluster.nodes:
        put(node, "/boot/vmlinuz-3-xenU")
    # Since 3.1 there is no other command.
    command = ["-H", "xen-pvm:xen_cmd=xl"] if vcluster.ganeti.series == "3.0" else []
    vcluster.run("gnt-cluster", "modify", "--enabled-hypervisors=fake,xen-pvm", *command)
    instance = vcluster.add_instance("one", primary="node2", hypervisor="xen-pvm", start=False)
    with pytest.raises(JobFailed, match="Can't execute 'xl list': not found"):
        instance.start()
    # Whatever asks a node for all that runs on it ends there.
    assert instance.status == "ERROR_nodedown"
    # 3.1 asks xl for its commands first.
    asked = "Can't execute 'xl list'" if vcluster.ganeti.series == "3.0" else "Can't execute 'xl help'"
    told = {problem.item for problem in vcluster.verify() if asked in problem.message}
    assert told == {node.name for node in vcluster.nodes}


@shows(
    ROW,
    "a hypervisor that is not enabled is refused; a node that is offline is not asked",
    because=("hypervisor-files",),
)
def test_hypervisors_that_are_not_enabled(vcluster: VirtualCluster) -> None:
    with pytest.raises(JobFailed, match=r"Selected hypervisor \(kvm\) not enabled in the cluster \(fake\)"):
        vcluster.add_instance("one", hypervisor="kvm", start=False)
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3")
    # A node that is offline is not asked.
    for node in vcluster.nodes[:2]:
        put_kvm(node)
    modify(vcluster, f"kvm:kvm_path={KVM},kernel_path=")
    stored = json.loads(vcluster.master.path("/var/lib/ganeti/config.data").read_text(encoding="utf-8"))
    assert stored["cluster"]["hvparams"]["kvm"]["kvm_path"] == KVM
