"""The suite's configuration file: what it is given, and what it is not asked to test, with the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

_LVM = "LVM volumes, and DRBD on them, need root."
_SERVERS = "It needs a storage cluster beside Ganeti, and root to map its volumes."
_NO_HOTPLUG = (
    "It removes a disk from a running instance, which is done by hotplug (DDM_REMOVE in"
    " lib/cmdlib/instance_set_params.py); of Ganeti's hypervisors only KVM has that (HotplugSupported in"
    " lib/hypervisor/hv_base.py). tests/rows/test_disk_operations.py removes disks from stopped instances."
)

#: Settings of the suite (`tests` in its configuration) that are off, and why. All others are on.
OFF: Mapping[str, str] = {
    "instance-add-plain-disk": _LVM,
    "instance-add-drbd-disk": _LVM,
    "cluster-exclusive-storage": _LVM,
    "exclusive-storage-instance-tests": _LVM,
    "instance-add-rbd": _SERVERS,
    "instance-add-gluster": _SERVERS,
    "instance-import": "The suite imports as disk template plain only (TestInstanceImport in qa_instance.py), which"
    " needs LVM. tests/rows/test_export_import.py imports disks that are files.",
    "instance-communication": "It looks at the machine's interfaces and routes with `ip`; making them needs root.",
    "group-custom-ssh-port": "It redirects ports with iptables, which needs root.",
    "instance-modify-disks": _NO_HOTPLUG,
    "instance-device-names": _NO_HOTPLUG,
    "inter-cluster-instance-move": "The suite uses a name that it does not define (is_termination_info in"
    " qa_job_utils.py), and leaves a job that holds a node for ten minutes. tests/rows/test_move_instance.py moves an"
    " instance.",
    "cluster-upgrade": "It needs a second version of Ganeti in the same place.",
    "performance": "It measures, and most of it needs DRBD.",
    "instance-data-censorship": "It reads DRBD's secrets on the nodes.",
}

#: Tests that are off although their setting, which others have too, is on.
TESTS_OFF: Mapping[str, str] = {
    "qa_env.TestIcmpPing": "Whether a user without privileges may send ICMP is a matter of the machine's settings.",
}

#: What the suite calls a condition rather than a setting, and why it does not hold.
CONDITIONS: Mapping[str, str] = {
    "disk template plain": _LVM,
    "disk template drbd": _LVM,
    "disk template rbd": _SERVERS,
    "disk template gluster": _SERVERS,
    "conversion feature": "The suite converts disks once in a run, and has done so with another template.",
}

#: Instances that the suite may use at a time.
_INSTANCES = 12

_CLUSTER_NAME = "cluster.vc"
QA_OS = "qa+default"
RENAME_TARGET = "renamed.vc"
BURNIN_TARGET = "instance20.vc"


@attrs.frozen(kw_only=True)
class QaNode:
    """A node for the suite: full name and second address."""

    name: str
    secondary: str


def suite_configuration(
    nodes: Sequence[QaNode], *, storage: str, ssh_port: int, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the suite's configuration; `storage` is the file storage folder below the master's root.

    With `only`, no other settings are on than these and what any run needs.
    """
    tests: dict[str, Any] = dict.fromkeys(OFF, False)
    if only:
        needed = ("create-cluster", "cluster-destroy")
        tests = {"default": False, **dict.fromkeys((*needed, *only), True)}
    return {
        "name": _CLUSTER_NAME,
        "rename": RENAME_TARGET,
        "enabled-hypervisors": "fake",
        "primary_ip_version": 4,
        "enabled-disk-templates": ["diskless", "file", "sharedfile"],
        "convert-disk-templates": ["file", "sharedfile", "diskless"],
        "default-file-storage-dir": "/srv/ganeti/file-storage",
        "default-shared-file-storage-dir": "/srv/ganeti/shared-file-storage",
        # The suite itself looks at disks in it, on one node or another.
        "file-storage-dir": storage,
        "cluster-init-args": [
            "--ssh-key-type=rsa",
            f"--node-parameters=ssh_port={ssh_port}",
        ],
        "master-netdev": "lo",
        "default-nicparams": {"mode": "bridged", "link": "br0"},
        "os": QA_OS,
        "maxmem": "256M",
        "minmem": "128M",
        "ispec_disk_size_min": 16,
        "ispec_mem_size_max": 1024,
        "ispec_mem_size_min": 16,
        "ispec_disk_count_min": 0,
        "ispec_nic_count_min": 0,
        "disks": [
            {"size": "64M", "name": "disk0", "growth": "64M"},
            {"size": "32M", "name": "disk1", "growth": "32M"},
        ],
        "modify_ssh_setup": True,
        "ssh_key_type": "rsa",
        "nodes": [{"primary": node.name, "secondary": node.secondary} for node in nodes],
        "instances": [{"name": f"instance{number}.vc"} for number in range(1, _INSTANCES + 1)],
        "groups": {"group-with-nodes": "default", "inexistent-groups": ["group1", "group2", "group3"]},
        "networks": {"inexistent-networks": ["network1", "network2", "network3"]},
        "tests": {"default": True, **tests},
        "options": {
            "burnin-instances": 2,
            "burnin-disk-template": "file",
            "burnin-in-parallel": False,
            "burnin-check-instances": False,
            "burnin-rename": BURNIN_TARGET,
            "burnin-reboot": True,
            "reboot-types": ["soft", "hard", "full"],
            "use-iallocators": False,
        },
    }


_REASONS = {**OFF, **TESTS_OFF, **CONDITIONS}


def why_off(settings: Sequence[str]) -> str:
    """Say why a test was skipped, given what keeps it off; empty where nothing is known."""
    reasons = [reason for name in settings if (reason := _REASONS.get(name))]
    return " ".join(dict.fromkeys(reasons))
