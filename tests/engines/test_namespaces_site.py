"""Two machines in a network of their own, without Ganeti: names, ssh, commands, power, ways in, and their end."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from pytest_ganeti_vcluster.cluster.making.sites import tools_of
from pytest_ganeti_vcluster.engines.base import OOB_PROGRAM, SHARED_PLACE, NodeSite
from pytest_ganeti_vcluster.engines.hardware import write_bridges, write_capacity
from pytest_ganeti_vcluster.engines.namespaces.addresses import plan_for
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.engines.namespaces.layers import NO_LAYERS, Layers
from pytest_ganeti_vcluster.engines.namespaces.machine import INIT, OUTSIDE_MODULES
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.engines.namespaces.site import NamespacesSite
from pytest_ganeti_vcluster.engines.namespaces.storage import DEVICE
from pytest_ganeti_vcluster.errors import BootFailed, KeeperError
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.keeper.client import Keeper, Outcome
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import create_root
from pytest_ganeti_vcluster.settings import Settings

MINUTE = 60.0


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    found = try_namespaces().probe
    if not found.available:
        pytest.skip(f"{found.reason}; {found.cure}")


class Machines:
    """A site with two nodes that are up."""

    def __init__(self, base: Path, layers: Layers = NO_LAYERS) -> None:
        self.layers = layers
        self.keeper = Keeper.start(create_root(base), token=secrets.token_hex(16))
        self.site = self.attach()
        self.site.create()
        self.site.start()
        self.nodes = self.site.nodes([("node1.vc", 1), ("node2.vc", 2)])
        for node in self.nodes:
            self.site.furnish(node)
            self.site.bring_up(node)

    def attach(self) -> NamespacesSite:
        return NamespacesSite(
            keeper=self.keeper,
            plan=plan_for(1, secondary_ips=False),
            root=self.keeper.root,
            tools=tools_of(find_installation(Settings.read())),
            cluster_name="cluster.vc",
            token="00",
            layers=self.layers,
        )

    def run(self, node: NodeSite, *argv: str) -> Outcome:
        command = self.site.command(node, argv)
        assert command is not None
        return self.keeper.run(
            command.argv, env=self.site.environment(node), cwd=command.folder, timeout=MINUTE
        )

    def output(self, node: NodeSite, argv: Sequence[str]) -> str:
        outcome = self.run(node, *argv)
        assert outcome.returncode == 0, outcome
        return outcome.stdout.decode().strip()


@pytest.fixture(scope="module")
def machines(clusters_root: Path) -> Iterator[Machines]:
    clusters_root.mkdir(exist_ok=True, mode=0o700)
    made = Machines(clusters_root)
    yield made
    processes = made.keeper.processes()
    made.keeper.stop()
    assert not [one for one in processes if one.identity.is_alive()]
    assert not made.keeper.root.exists()


def test_a_node_has_name_users_and_processes_of_its_own(machines: Machines) -> None:
    for node in machines.nodes:
        assert machines.output(node, ["hostname"]) == node.name
        assert machines.output(node, ["sh", "-c", "id -un; pwd"]) == "root\n/root"
    assert machines.output(machines.nodes[0], ["cat", "/proc/1/comm"]) == "sh"
    boots = {machines.output(node, ["cat", "/proc/sys/kernel/random/boot_id"]) for node in machines.nodes}
    assert len(boots) == 2


def test_statuses_come_out_as_they_are(machines: Machines) -> None:
    node = machines.nodes[0]
    assert machines.run(node, "sh", "-c", "exit 7").returncode == 7
    assert machines.run(node, "sh", "-c", "kill -KILL $$").returncode == -9
    assert machines.run(node, "no-such-command").returncode == 127


def test_files_are_the_same_inside_and_outside(machines: Machines) -> None:
    first, second = machines.nodes
    machines.output(first, ["sh", "-c", "echo 1 > /var/lib/ganeti/x; echo 2 > /run/x; echo 3 > /etc/x"])
    assert [(first.root / path).read_text() for path in ("var/lib/ganeti/x", "var/run/x", "etc/x")] == [
        "1\n",
        "2\n",
        "3\n",
    ]
    assert machines.run(second, "test", "-e", "/var/lib/ganeti/x").returncode == 1
    (second.root / "srv/y").write_text("4\n")
    assert machines.output(second, ["cat", "/srv/y"]) == "4"
    # What of /etc is the machine's can be read, and what is replaced is the node's alone.
    own = Path("/etc/passwd").read_text()
    machines.output(first, ["sh", "-c", "test -s /etc/os-release; echo >> /etc/passwd"])
    assert Path("/etc/passwd").read_text() == own


def test_names_are_known_everywhere_as_soon_as_they_are_given(machines: Machines) -> None:
    first, second = machines.nodes
    assert machines.output(first, ["getent", "hosts", "node2"]).split()[0] == second.ip
    address = machines.site.add_name("late.vc")
    for node in machines.nodes:
        assert machines.output(node, ["getent", "hosts", "late"]).split()[:2] == [address, "late.vc"]
        assert machines.output(node, ["getent", "hosts", address]).split() == [address, "late.vc"]
    machines.site.forget("late.vc")
    assert machines.run(first, "getent", "hosts", "late.vc").returncode == 2


def test_nodes_log_in_to_each_other_by_ssh(machines: Machines) -> None:
    first, second = machines.nodes
    ssh = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "node2"]
    assert machines.output(first, [*ssh, "hostname; id -u"]) == f"{second.name}\n0"


def test_a_daemon_on_a_node_is_found_by_its_number_there(machines: Machines) -> None:
    node = machines.nodes[0]
    inner = int(machines.output(node, ["cat", "/run/sshd.pid"]))
    first = FirstProcess.read(node.root)
    assert first is not None
    outer = first.outside(inner)
    assert outer is not None
    assert outer != inner
    assert Path(f"/proc/{outer}/comm").read_text() == "sshd\n"
    assert first.outside(1) == first.identity.pid
    assert first.outside(99999) is None


def test_who_is_outside_gets_in_by_sockets_and_by_an_outlet(machines: Machines) -> None:
    node = machines.nodes[0]
    with node.network.connect(node.ip, 22, MINUTE) as connection:
        assert connection.recv(4) == b"SSH-"
    host, _, port = machines.site.reach(node.ip, 22).partition(":")
    assert machines.attach().reach(node.ip, 22) == f"{host}:{port}"
    with socket.create_connection((host, int(port)), timeout=MINUTE) as connection:
        assert connection.recv(4) == b"SSH-"
    refused = machines.site.reach(node.ip, 2).partition(":")
    connection = socket.create_connection((refused[0], int(refused[2])), timeout=MINUTE)
    # Closed or reset: nobody is there.
    with connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_a_node_that_is_switched_off_is_gone_with_all_it_ran(machines: Machines) -> None:
    first, second = machines.nodes
    machines.output(second, ["sh", "-c", "setsid sleep 1000 > /dev/null 2>&1 &"])
    deadline = time.monotonic() + MINUTE
    before: set[ProcessIdentity] = set()
    # What the shell leaves behind is at first the shell.
    while not before:
        assert time.monotonic() < deadline
        before = {one.identity for one in machines.keeper.processes() if one.argv[:2] == ("sleep", "1000")}
    assert len(before) == 1
    second.off_mark.touch()
    machines.site.follow_power()
    assert not any(identity.is_alive() for identity in before)
    assert machines.site.command(second, ["true"]) is None
    with pytest.raises(OSError, match=r"timed out|No route"):
        second.network.connect(second.ip, 22, 0.5)
    assert machines.output(first, ["hostname"]) == first.name
    second.off_mark.unlink()
    machines.site.follow_power()
    processes = {one.identity for one in machines.keeper.processes()}
    with second.network.connect(second.ip, 22, MINUTE) as connection:
        assert connection.recv(4) == b"SSH-"
    # Nothing happens to those that are up.
    machines.attach().follow_power()
    assert processes <= {one.identity for one in machines.keeper.processes()}


def test_addresses_of_a_node_are_seen(machines: Machines) -> None:
    node = machines.nodes[0]
    assert machines.site.holds(node, node.ip)
    assert not machines.site.holds(node, machines.site.cluster_ip)


def bridges_of(machines: Machines, node: NodeSite) -> set[str]:
    return set(machines.output(node, ["sh", "-c", "cd /sys/class/net; ls -d */bridge"]).split())


def test_a_node_shows_the_hardware_that_its_root_declares(machines: Machines) -> None:
    first, second = machines.nodes
    before = machines.output(second, ["cat", "/proc/meminfo"])
    write_capacity(first.root, {"memory": 512, "cpus": 3})
    write_bridges(first.root, ["br0", "lab"])
    for _twice in range(2):
        machines.site.fit_hardware(first)
        shown = machines.output(first, ["cat", "/proc/meminfo"])
        assert re.findall(r"(?m)^(MemTotal|MemFree|Cached|Active):\s+(\d+) kB", shown) == [
            ("MemTotal", "524288"),
            ("MemFree", "524288"),
            ("Cached", "0"),
            ("Active", "0"),
        ]
        assert machines.output(first, ["grep", "-c", "^processor", "/proc/cpuinfo"]) == "3"
        assert bridges_of(machines, first) == {"br0/bridge", "lab/bridge"}
    assert machines.output(second, ["cat", "/proc/meminfo"]) == before
    write_capacity(first.root, {})
    write_bridges(first.root, ["lab"])
    machines.site.fit_hardware(first)
    assert machines.output(first, ["cat", "/proc/meminfo"]).splitlines()[0] == before.splitlines()[0]
    assert bridges_of(machines, first) == {"lab/bridge"}
    # As it is declared when it boots.
    machines.site.end_processes(first)
    write_bridges(first.root, ["br7"])
    write_capacity(first.root, {"memory": 256})
    machines.site.fit_hardware(first)
    machines.site.follow_power()
    assert bridges_of(machines, first) == {"br7/bridge"}
    assert "262144 kB" in machines.output(first, ["head", "-n1", "/proc/meminfo"])


def test_file_storage_has_the_size_that_is_declared_and_its_files_where_they_were(machines: Machines) -> None:
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        pytest.skip(f"{DEVICE} cannot be opened")
    node = machines.nodes[1]
    storage = "/srv/ganeti/file-storage"
    node.path(storage).mkdir()
    node.path(f"{storage}/before").write_text("1\n")
    write_capacity(node.root, {"disk": 1000})
    for _twice in range(2):
        machines.site.fit_hardware(node)
        assert machines.output(node, ["cat", f"{storage}/before"]) == "1"
    script = (
        f"cd {storage}; mkdir -m 750 i; truncate -s 100M i/disk; mv i/disk i/0; ln -s 0 i/link; stat -c %a i"
    )
    assert machines.output(node, ["sh", "-ec", script]) == "750"
    free = ["stat", "-f", "-c", "%b %a %S", storage]
    assert machines.output(node, free) == f"{1000 * 256} {900 * 256} 4096"
    assert node.path(f"{storage}/i/0").stat().st_size == 100 << 20
    assert node.path(f"{storage}/i/link").readlink() == Path("0")
    # What changes below is seen at once.
    node.path(f"{storage}/i/0").write_text("written outside")
    assert machines.output(node, ["cat", f"{storage}/i/link"]) == "written outside"
    # A file that was removed lasts as long as somebody reads it.
    reading = f"cd {storage}/i; exec 9< link; rm 0; cat <&9; ! test -e link; echo new > 0; cat link"
    assert machines.output(node, ["sh", "-ec", reading]) == "written outsidenew"
    copied = (
        f"cd {storage}; head -c 3000000 /dev/urandom > r; cp r s; cmp r s; mv s i; cmp r i/s; rm -r i; ls"
    )
    assert machines.output(node, ["sh", "-ec", copied]).split() == ["before", "r"]
    write_capacity(node.root, {"disk": 10, "memory": 100})
    machines.site.fit_hardware(node)
    assert machines.output(node, free) == f"2560 {8 * 256} 4096"
    # Who serves it may be gone.
    [serving] = [one for one in machines.keeper.processes() if one.name == "vcluster-storage"[:15]]
    machines.keeper.signal(serving.identity, signal.SIGKILL)
    assert serving.identity.wait_gone(MINUTE)
    machines.site.follow_power()
    assert machines.output(node, ["ls", storage]).split() == ["before", "r"]
    assert machines.output(node, free) == f"2560 {8 * 256} 4096"


def test_what_nodes_share_is_the_same_everywhere(machines: Machines) -> None:
    first, second = machines.nodes
    machines.output(first, ["sh", "-c", f"echo 1 > {SHARED_PLACE}/x"])
    assert machines.output(second, ["cat", f"{SHARED_PLACE}/x"]) == "1"
    assert {node.path(f"{SHARED_PLACE}/x").read_text() for node in machines.nodes} == {"1\n"}
    assert machines.site.seen_path(first, f"{SHARED_PLACE}/x") == f"{SHARED_PLACE}/x"
    machines.output(first, ["sh", "-c", "echo 2 > /run/y"])
    assert first.path("/run/y").read_text() == "2\n"


def test_a_node_has_something_done_outside(machines: Machines) -> None:
    node = machines.nodes[0]
    program = machines.keeper.root / OOB_PROGRAM
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$1 of $2 on $(hostname)"\necho told >&2\nexit 5\n')
    program.chmod(0o755)
    outcome = machines.run(node, machines.site.oob_program, "power-status", "node2.vc")
    assert (outcome.returncode, outcome.stderr) == (5, b"told\n")
    assert outcome.stdout.decode() == f"power-status of node2.vc on {socket.gethostname()}\n"


def test_what_is_asked_of_the_kernel_is_done_with_the_node(tmp_path: Path) -> None:
    # Where the kernel itself has it, a pipe covers it; here it is just a pipe.
    keys, done, way_out = tmp_path / "keys", tmp_path / "done", tmp_path / "way-out"
    os.mkfifo(keys)
    way_out.write_text(f'#!/bin/sh\necho "$1 $2" >> {done}\n')
    way_out.chmod(0o755)
    script = INIT.format(sysrq=keys, way_out=way_out).replace("/run/vcluster-key", str(tmp_path / "key"))
    first = subprocess.Popen(["/bin/sh", "-c", script])
    waiting = psutil.Process(first.pid)

    def reader(*before: int) -> int:
        """Wait for one that waits for a key, other than those before it."""
        deadline = time.monotonic() + MINUTE
        while not (
            found := [one.pid for one in waiting.children() if one.pid not in before and one.name() == "head"]
        ):
            assert time.monotonic() < deadline
            assert first.poll() is None
        return found[0]

    try:
        readers: list[int] = []
        # One of them means nothing here, and one says nothing.
        for key in ("s", "", "b", "o"):
            readers.append(reader(*readers))
            keys.write_text(key)
        reader(*readers)
        name = socket.gethostname()
        assert done.read_text() == f"power-cycle {name}\npower-off {name}\n"
    finally:
        left = waiting.children()
        first.kill()
        first.wait(MINUTE)
        for one in left:
            one.kill()


def test_a_second_cluster_has_the_same_addresses_at_the_same_time(
    machines: Machines, clusters_root: Path
) -> None:
    other = Machines(clusters_root)
    try:
        assert [node.ip for node in other.nodes] == [node.ip for node in machines.nodes]
        for one in (machines, other):
            (one.nodes[1].root / "root/which").write_text(str(one.keeper.root))
            ssh = ["ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", one.nodes[1].ip, "cat which"]
            assert one.output(one.nodes[0], ssh) == str(one.keeper.root)
    finally:
        other.keeper.stop()


def test_what_is_laid_over_usr_is_there_and_hides_what_was(clusters_root: Path, tmp_path: Path) -> None:
    for name in ("usr/sbin/of-a-layer", "usr/bin/true"):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho laid over\n")
        program.chmod(0o755)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/of_a_layer.py").touch()
    made = Machines(clusters_root, Layers((tmp_path / "usr",), tmp_path / "modules"))
    try:
        node = made.nodes[0]
        assert made.output(node, ["sh", "-c", "of-a-layer; /usr/bin/true"]).split("\n") == ["laid over"] * 2
        assert made.output(node, ["ls", OUTSIDE_MODULES]) == "of_a_layer.py"
        assert made.output(node, ["python3", "-c", "print(1)"]) == "1"
        assert made.run(node, "touch", "/usr/sbin/new").returncode
    finally:
        made.keeper.stop()


def test_all_ends_with_a_keeper_that_is_killed(clusters_root: Path) -> None:
    made = Machines(clusters_root)
    processes = made.keeper.processes()
    made.keeper.identity.signal(9)
    assert all(one.identity.wait_gone(MINUTE) for one in processes)
    assert made.keeper.guardian.wait_gone(MINUTE)
    made.keeper.close()


def test_what_keeps_a_node_from_booting_is_told(machines: Machines) -> None:
    [node] = machines.site.nodes([("node3.vc", 3)])
    machines.site.furnish(node)
    (node.root / "etc/ssh/sshd_config").write_text("NoSuchOption yes\n")
    try:
        with pytest.raises(BootFailed, match="could not boot node3") as failed:
            machines.site.bring_up(node)
        assert "NoSuchOption" in failed.value.seen
    finally:
        machines.site.forget(node.name)


def test_only_a_site_that_was_made_can_be_attached_to(clusters_root: Path) -> None:
    with Keeper.start(create_root(clusters_root), token=secrets.token_hex(16)) as keeper:
        site = NamespacesSite(
            keeper=keeper,
            plan=plan_for(1, secondary_ips=False),
            root=keeper.root,
            tools=tools_of(find_installation(Settings.read())),
            cluster_name="cluster.vc",
            token="00",
        )
        with pytest.raises(KeeperError, match="no cluster"):
            site.check()
        keeper.stop()
