"""The rows: what a virtual cluster must be able to do, and what Ganeti's design said of it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Row:
    """One row.

    `design` is what "Design for virtual clusters support" (2011) says of it, empty where it does not; `differs` are
    whole sentences about what is still not as on real machines, on engine `loopback`; `machines` on `namespaces`.
    """

    name: str
    design: str = ""
    differs: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


ROWS = (
    Row(
        "disk operations",
        "Use only diskless or file-based instances",
        differs=(
            "Disks are files: there is no LVM, DRBD, Ceph or Gluster, so nothing is mirrored.",
            "The storage of all nodes is on one file system of the machine, unless a test mounts one for a node.",
        ),
    ),
    Row(
        "disk query",
        "Not supported currently, could use file-based",
        differs=(
            "Free is computed, not measured: the node's disk less the full sizes of its files, though they are sparse.",
            "Nothing keeps files from growing past it, and the machine's own file system may be full before.",
            "There is file storage only: no volume groups, and no spindles.",
        ),
        machines=(
            "A node that was given no size has the machine's file system, and tells what is free there.",
        ),
    ),
    Row(
        "node report",
        differs=(
            "Memory and CPUs are what the test says, or the machine's: nothing is taken from the machine for them.",
            "The node's own system takes no memory, and there is one CPU socket and one NUMA node.",
            "An instance uses the memory that it was started with, or ballooned to; no guest uses less or more.",
        ),
    ),
    Row(
        "hypervisor operations",
        "Use the fake hypervisor",
        differs=(
            "An instance runs nothing: its start is a file, a soft reboot nothing, and a migration moves no memory.",
            "It has no console.",
            "Ganeti's fake hypervisor has no hotplug, so a disk is removed from a stopped instance only.",
        ),
    ),
    Row(
        "hypervisor validation",
        "As long as the hypervisors don't call to privileged commands, it should work",
        differs=(
            "Kernels and programs that parameters name are those that a test puts into the nodes' roots.",
            "Instances of KVM are made and changed, and not started, as there is no KVM in a virtual node.",
            "With Xen enabled, what a node runs cannot be told: Ganeti asks `xl list`, which only root may.",
        ),
        machines=(
            "Files that parameters name are a node's own in /etc, /root, /srv and /tmp, else the machine's.",
        ),
    ),
    Row(
        "instance networking",
        "Unprivileged operation, can be used with an existing bridge at system level or use NIC-less instances",
        differs=(
            "NICs are in Ganeti's books and attached to nothing; bridges are those that a node declares.",
            "The address of an instance counts as alive while it runs, and answers nobody.",
        ),
        machines=("Bridges are real, and NICs attached to none; the address of an instance is not alive.",),
    ),
    Row(
        "instance OS operations",
        "Only used with non-diskless instances; could work with custom OS scripts that just dd",
        differs=(
            "Scripts run as the ordinary user: they cannot mount a disk, make a loop device or chroot.",
            "They see the machine's own files; only what is below the node's root folder is the node's.",
            "`create_untrusted`, which runs in a virtual machine of its own, is not possible.",
        ),
    ),
    Row(
        "node OS discovery",
        "No special privileges needed, so works fine as-is",
        differs=("Paths that Ganeti tells have the node's root folder in front.",),
    ),
    Row(
        "node networking",
        "Not supported; Ganeti will need to work without a master IP",
        differs=(
            "Addresses are not those of network interfaces: which node has which is written down.",
            "A `master-ip-setup` of one's own has to call `$VCLUSTER_FARM/lib/tools/master-ip-setup`.",
            "An address answers or refuses at once; no node can be cut off from another.",
            "Of what belongs to no cluster, or to another one, only addresses on which a noded listens are alive.",
        ),
    ),
    Row(
        "node add",
        "SSH command must be adjusted",
        differs=(
            "All machines have one sshd, with one host key, and Ganeti is installed on them from the start.",
        ),
    ),
    Row(
        "node groups",
        differs=("There is no DRBD, so no instance whose two nodes a new group would part.",),
    ),
    Row(
        "node setup",
        "Can already be disabled from the cluster config",
        differs=(
            "Names are known to all nodes by other means; what stands in a node's /etc/hosts is not looked up.",
            "root of a new machine has one key that lets it in everywhere, where an admin would type a password.",
        ),
    ),
    Row(
        "master failover",
        "Doable (as long as we use a single user), might get tricky",
        differs=(
            "Nodes are dead or alive; two halves of a cluster that do not see each other cannot be had.",
        ),
    ),
    Row(
        "file upload",
        "The only issue could be with system files, which are not owned by the current user",
        differs=(
            "`gnt-cluster copyfile` wants the file's path on this machine, as `node.path()` gives it.",
            "All files belong to one user and group, whatever Ganeti asks for.",
        ),
    ),
    Row(
        "node oob",
        "Since these are user-defined, we can mock them easily",
        differs=(
            "The helper returns when the node has booted, where a real one returns at once.",
            "`gnt-node health` has two items: whether the node is on, and whether anything of Ganeti runs on it.",
        ),
    ),
    Row(
        "hooks",
        "No special privileges needed",
        differs=(
            "Hooks run as the ordinary user, with the variables added that keep them on their node.",
            "Paths are the machine's, other than those below GANETI_DATA_DIR, GANETI_ROOTDIR and HOME.",
        ),
    ),
    Row(
        "restricted commands",
        differs=("Commands are owned by, and run as, the ordinary user and not root.",),
    ),
    Row(
        "iallocator",
        "No special privileges needed",
        differs=(
            "What an iallocator is asked stands in a file in the machine's folder for temporary files.",
        ),
    ),
    Row(
        "export/import",
        "When exporting/importing file-based instances, this should work",
        differs=(
            "Disks that are files have no snapshots: a running instance is exported with a shutdown only.",
        ),
    ),
    Row(
        "move-instance",
        differs=(
            "In Ganeti 3.0, on real machines, socat refuses the other cluster's certificate (Ganeti's issue 1681).",
            "In Ganeti 3.1 it looks the other node's name up, which one virtual cluster does not know of another.",
        ),
    ),
    Row(
        "node powercycle",
        "Privileged, so not supported, but anyway not very interesting for testing",
        differs=(
            "Connections to a node that is off are refused at once; a real one leaves them to time out.",
            "/var/run and /var/lock are emptied, all other files are as they were: nothing that was written is lost.",
        ),
        machines=("Where the kernel has no /proc/sysrq-trigger, `gnt-node powercycle` does nothing.",),
    ),
    Row("tags"),
    Row("filters"),
    Row("reason trail"),
    Row("job queue"),
    Row(
        "rapi",
        "Not privileged and only one per cluster, so it presents no issues",
        differs=(
            "At the master IP only RAPI and ssh answer; noded, confd and mond do at the nodes' own addresses.",
        ),
    ),
    Row("confd", "Somewhat the same issues as the node daemon, but the per-address binding still works"),
    Row(
        "mond",
        differs=(
            "What collectors tell of processors and disks is the machine's, the same on every node.",
            "The collectors for DRBD and LVM fail, as there is neither.",
            "The collector for disks fails with kernels since 4.18, by Ganeti's own fault.",
        ),
    ),
    Row(
        "metad",
        differs=(
            "It listens on port 8080, as 80 needs a privilege.",
            "Nothing on loopback can have an address of Ganeti's network for instance communication (169.254.0.0/16).",
            "So the NIC for it is to be given an address of 127.0.0.0/8.",
            "OS scripts are looked for in the machine's folders: that path is compiled into it.",
        ),
    ),
    Row(
        "watcher",
        "Has to be modified to not activate the daemons, or the start-stop tool has to",
        differs=("Nothing runs it by the clock: `VirtualNode.run_watcher()` runs it once.",),
    ),
    Row(
        "cleaner",
        differs=(
            "Nothing runs it by the clock.",
            "With Debian's 3.0.2 certificates stay: its check-cert-expired fails for any, by Debian's own fault.",
        ),
    ),
    Row(
        "CLI",
        "As long as the master node is set to the machine hostname, these should work fine",
        differs=("There is no bash-completion.",),
    ),
    Row(
        "cluster",
        "It could be possible that initialisation is a bit more involved (this was not tried yet)",
        differs=(
            "A new name has an address of the cluster's own, by `rename()` or `add_name()`: no name server is asked.",
            "`gnt-cluster upgrade` finds no other version: all nodes run the one installation.",
            "A destroyed cluster keeps its node roots until it is closed or reset.",
        ),
    ),
    Row(
        "renew-crypto",
        differs=(
            "All nodes have one ssh host key, made with the cluster; Ganeti does not renew those of real nodes either.",
            "Nothing listens with the certificate for SPICE.",
        ),
    ),
    Row(
        "HTools",
        "The situation is better: tools can use a custom LUXI path, RAPI data and text files",
        differs=(
            "There is no DRBD, so what they move are instances on shared file storage.",
            "Instances run nothing, and mond tells the machine's load of every node.",
        ),
    ),
    Row(
        "burnin",
        "Requires actual hardware",
        differs=(
            "Its part that adds and removes disks is left out: the fake hypervisor, like Xen, has no hotplug.",
        ),
    ),
)

BY_NAME = {row.name: row for row in ROWS}
