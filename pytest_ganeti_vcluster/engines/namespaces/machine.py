"""Boot one node: `python -m ...machine CONFIG`, run by the site in the namespaces of the cluster's switch.

CONFIG is JSON, see `Config`. When it ends well, the node is up, and what it has printed is the process id (outside) of
the node's first process: with that, all that runs on the node ends at once. Imports the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn

from pytest_ganeti_vcluster.engines.namespaces import kernel
from pytest_ganeti_vcluster.engines.namespaces.control import ask
from pytest_ganeti_vcluster.engines.namespaces.porter import WAY_OUT
from pytest_ganeti_vcluster.engines.namespaces.switch import port_commands

#: Where a node finds what of the machine's /etc its own does not replace.
OUTSIDE_ETC = "/run/host/etc"

#: Where a node finds what of the machine's folder of libraries its own does not replace.
OUTSIDE_LIBRARIES = "/run/host/lib"

#: An unmodified Ganeti looks for iallocators of an admin's there, which others have below /srv (configure.ac).
_LIBRARIES = "/usr/local/lib"
_IALLOCATORS = "iallocators"

#: Where a node finds Python modules that a Ganeti which is laid over its /usr has brought along.
OUTSIDE_MODULES = "/run/host/modules"

#: The interface of a node that joins it to the others.
INTERFACE = "eth0"

#: Folders of a node's root that are the node's own, and where they are for it.
FOLDERS = (
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
    ("etc", "/etc"),
    ("var/lib/ganeti", "/var/lib/ganeti"),
    ("var/log", "/var/log"),
    ("srv", "/srv"),
    ("root", "/root"),
    ("tmp", "/tmp"),  # noqa: S108  the node's own
)

#: Tells which number a process of the node got last, and takes another.
_LAST_NUMBER = "/proc/sys/kernel/ns_last_pid"

#: What is written there is the kernel's to do, with the machine. Some kernels do not have it.
SYSRQ = "/proc/sysrq-trigger"

# The first process of a node does next to nothing. It adopts and reaps what daemons leave, as every init does, goes
# when told to, and has the node started again or switched off when a program asks the kernel for that, as Ganeti does
# (lib/hypervisor/hv_base.py, LinuxPowercycle). What it waits for is first_process.WAITED_FOR.
INIT = """\
trap "exit 0" TERM
while [ -p {sysrq} ]; do
  head --bytes=1 {sysrq} > /run/vcluster-key & wait $!
  case "$(cat /run/vcluster-key)" in
    b) {way_out} power-cycle "$(hostname)" ;;
    o) {way_out} power-off "$(hostname)" ;;
  esac
done
sleep infinity & wait $!
"""


class Config(NamedTuple):
    """What makes a node: `addresses` with prefix lengths, the `link` by which the switch knows it, its `bridges`.

    The switch, which is told at `control`, knows it as a party by its `number`.
    `hardware_address` is its network card's, which it keeps: the others know it by that when it has booted again.
    `covers` are files and folders outside, with the place that each takes on the node, which must exist there.
    `layers` are the options of a mount over /usr, empty for none.
    `boot_id` is a file in it that says what the kernel would say of a machine that has booted. `master_ip` is an
    address with prefix length that the node has as if Ganeti's script had set it up; empty where it has none.
    """

    name: str
    root: str
    number: int
    link: str
    control: str
    hardware_address: str
    addresses: list[str]
    bridges: list[str]
    sshd: str
    boot_id: str
    covers: list[list[str]]
    layers: str
    master_ip: str = ""


def main(config: Config) -> int:
    """Boot the node; the exit status. What goes wrong is told on standard error."""
    # As on any machine, which is none of the keeper's.
    os.umask(0o022)
    # Each tells the other by a byte how far it is.
    told, tell = os.pipe()
    go_on, let_go_on = os.pipe()
    ourselves = os.pidfd_open(os.getpid())
    kernel.unshare(kernel.NEWPID)
    first = os.fork()
    if first == 0:
        os.close(told)
        os.close(let_go_on)
        _be_first_process(config, tell, go_on, ourselves)
    os.close(tell)
    os.close(go_on)
    if not os.read(told, 1):
        return 1
    with contextlib.suppress(OSError):
        # Of the node's former life; the kernel takes its time to forget it.
        kernel.configure_network(f"link delete {config.link}")
    kernel.configure_network(
        # What we start now counts processes as the node does, where the first one is number 1.
        f"link add {config.link} type veth peer name {INTERFACE} address {config.hardware_address} netns 1",
        *port_commands(config.link),
    )
    # Faults of the network that are in force are this node's, too.
    wrong = ask(config.control, plug=config.link, party=config.number).error
    if wrong:
        raise OSError(errno.EIO, f"the switch could not plug in {config.link}: {wrong}")
    os.write(let_go_on, b"n")
    if not os.read(told, 1):
        return 1
    sys.stdout.write(f"{first}\n")
    return 0


def _be_first_process(config: Config, tell: int, go_on: int, parent: int) -> NoReturn:
    """Become the node's first process, whose parent `parent` (a pidfd) waits for it; never returns."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        kernel.unshare(kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWNET)
        os.write(tell, b"n")
        _set_up_files(config)
        _go_on_counting()
        kernel.set_host_name(config.name)
        os.read(go_on, 1)
        _set_up_network(config)
        # Programs that forget to be the only user of their group; sshd is such a one, and all that it starts.
        kernel.ignore_setgroups()
        kernel.run(config.sshd)
        kernel.die_with_parent(0)
        os.write(tell, b"u")
        # Only when it has ended altogether is the keeper our parent, with whom we die from now on.
        gone = select.poll()
        gone.register(parent, select.POLLIN)
        gone.poll()
        kernel.die_with_parent(signal.SIGKILL)
        os.chdir("/")
        os.execv("/bin/sh", [f"[{config.name}]", "-c", INIT.format(sysrq=SYSRQ, way_out=WAY_OUT)])  # noqa: S606
    except BaseException:  # noqa: BLE001  whatever it is, a fork must not go on as its parent
        traceback.print_exc()
    os._exit(1)


def _set_up_files(config: Config) -> None:
    """Give the node files of its own, and devices and views of the kernel that fit it."""
    kernel.make_mounts_private()
    root = Path(config.root)
    if config.layers:
        kernel.mount("layers", "/usr", "overlay", config.layers)
    # Opened now: what is mounted may well hide them.
    etc = os.open("/etc", os.O_PATH)
    libraries = os.open(_LIBRARIES, os.O_PATH)
    own = [(os.open(root / inner, os.O_PATH), place) for inner, place in FOLDERS]
    own += [(os.open(outside, os.O_PATH), place) for outside, place in config.covers]
    kernel.mount("proc", "/proc", "proc")
    kernel.mount("sysfs", "/sys", "sysfs")
    kernel.mount("devpts", "/dev/pts", "devpts", "newinstance,ptmxmode=0666")
    kernel.bind("/dev/pts/ptmx", "/dev/ptmx")
    kernel.mount("shm", "/dev/shm", "tmpfs", "mode=1777")  # noqa: S108  its name
    for descriptor, place in own:
        kernel.bind(f"/proc/self/fd/{descriptor}", place)
        os.close(descriptor)
        if place == "/run":
            for folder in (OUTSIDE_ETC, OUTSIDE_LIBRARIES, OUTSIDE_MODULES, "/run/lock", "/run/sshd"):
                Path(folder).mkdir(parents=True, exist_ok=True)
            kernel.bind(f"/proc/self/fd/{etc}", OUTSIDE_ETC)
            kernel.bind(f"/proc/self/fd/{libraries}", OUTSIDE_LIBRARIES)
    os.close(etc)
    os.close(libraries)
    _set_up_libraries()
    # The kernel has one for all.
    kernel.bind(config.boot_id, "/proc/sys/kernel/random/boot_id")
    # noded insists on writing to it.
    kernel.bind("/dev/null", "/dev/console")
    # daemon-util gives ganeti-metad the right to port 80, which root of a user namespace has, and cannot give.
    setcap = shutil.which("setcap", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if setcap is not None:
        kernel.bind("/bin/true", os.path.realpath(setcap))


def _set_up_libraries() -> None:
    """Have the node's folder of libraries be the machine's, but for the iallocators, which are the node's own."""
    kernel.mount("libraries", _LIBRARIES, "tmpfs", "mode=0755")
    here, outside = Path(_LIBRARIES), Path(OUTSIDE_LIBRARIES)
    for own in ("ganeti", _IALLOCATORS):
        for entry in outside.iterdir() if outside.is_dir() else ():
            if entry.name != own:
                (here / entry.name).symlink_to(entry)
        here, outside = here / own, outside / own
        if own != _IALLOCATORS:
            here.mkdir()
    here.symlink_to("/srv/ganeti/iallocators")


def _go_on_counting() -> None:
    """Have processes get other numbers than those that daemons left in their files when all of the node crashed.

    They would begin anew; daemon-util takes a daemon for running whose number any process has (start-stop-daemon).
    """
    files = list(Path("/run/ganeti").glob("*.pid"))
    numbers = [
        int(word) for path in files for word in path.read_text(encoding="ascii").split()[:1] if word.isdigit()
    ]
    if not numbers:
        return
    try:
        Path(_LAST_NUMBER).write_text(str(max(numbers)), encoding="ascii")
    except OSError:
        # A kernel without CONFIG_CHECKPOINT_RESTORE.
        for path in files:
            path.unlink()


def _set_up_network(config: Config) -> None:
    kernel.configure_network(
        "link set lo up",
        *(f"address add {address} dev {INTERFACE}" for address in config.addresses),
        f"link set {INTERFACE} up",
        *(
            f"address add {address} dev {INTERFACE} label {INTERFACE}:0"
            for address in filter(None, [config.master_ip])
        ),
        *(f"link add {bridge} type bridge" for bridge in config.bridges),
        *(f"link set {bridge} up" for bridge in config.bridges),
    )
    if config.master_ip:
        # Others may know who had it before.
        kernel.announce(config.master_ip.partition("/")[0], INTERFACE, config.hardware_address)


if __name__ == "__main__":
    try:
        status = main(Config(**json.loads(sys.argv[1])))
    except OSError as error:
        sys.exit(f"could not boot the node: {error}")
    sys.exit(status)
