"""What a machine can hold is known before anything is started."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Network

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.spec import MOST_WITH_CONFD, ClusterSpec
from pytest_ganeti_vcluster.errors import MachineError, NoFreeAddresses
from pytest_ganeti_vcluster.ganeti.limits import UNLIMITED, Limit, Machine, check_limits, limits_of

POOL = IPv4Network("127.64.0.0/10")

#: Too little of each, for the cluster of 100 nodes that all of them are tried with, and a piece of its name and cure.
SCARCE = {
    "descriptors": (300, "open files", "ulimit -Hn"),
    "user_tasks": (300, "of this user", "ulimit -u"),
    "kernel_tasks": (300, "on this machine", "kernel.pid_max"),
    "group_tasks": (300, "control group", "--pids-limit"),
    "instances": (100, "inotify", "fs.inotify.max_user_instances"),
    "memory": (1 << 30, "memory", "end what else takes memory"),
    "blocks": (1, "addresses", "--vcluster-subnet"),
}


def test_all_that_limits_a_machine_is_tried() -> None:
    assert set(SCARCE) == {field.name for field in attrs.fields(Machine)}


@pytest.mark.parametrize("name", SCARCE)
def test_each_limit_stops_a_cluster_that_is_too_large(name: str) -> None:
    have, told, cure = SCARCE[name]
    machine = Machine(**{name: have})
    with pytest.raises(MachineError) as caught:
        check_limits(100, ["confd"], POOL, machine=machine)
    assert told in caught.value.message
    assert "100 nodes" in caught.value.message
    assert cure in caught.value.cure
    assert isinstance(caught.value, NoFreeAddresses) == (name == "blocks")
    most = limits_of(machine, ["confd"])[0].most_nodes
    check_limits(most, ["confd"], POOL, machine=machine)
    with pytest.raises(MachineError, match=f"{most + 1} nodes"):
        check_limits(most + 1, ["confd"], POOL, machine=machine)


def test_all_that_stops_a_cluster_is_told_at_once() -> None:
    machine = Machine(descriptors=300, memory=1 << 30)
    with pytest.raises(MachineError) as caught:
        check_limits(200, [], POOL, machine=machine)
    assert "open files of a process: 300, and 200 nodes need" in caught.value.seen
    assert "memory: 1024 MiB" in caught.value.seen
    assert "ulimit -Hn" in caught.value.cure
    assert "memory" in caught.value.cure


def test_a_machine_without_limits_holds_any_cluster() -> None:
    check_limits(1000, ["confd", "mond"], POOL, secondary_ips=True, machine=Machine())
    assert limits_of(Machine())[0].most_nodes > UNLIMITED // 1_000_000_000_000


def test_optional_daemons_count() -> None:
    machine = Machine(instances=128, memory=4 << 30)

    def most(daemons: list[str]) -> dict[str, int]:
        return {limit.name: limit.most_nodes for limit in limits_of(machine, daemons)}

    assert most(["confd"])["further inotify instances"] < 128
    assert most([])["further inotify instances"] > 1000
    assert most(["confd"])["memory"] < most([])["memory"]


def test_large_clusters_run_no_optional_daemon_unless_asked() -> None:
    assert ClusterSpec(nodes=MOST_WITH_CONFD).daemons == ("confd",)
    assert ClusterSpec(nodes=MOST_WITH_CONFD + 1).daemons == ()
    assert ClusterSpec(nodes=MOST_WITH_CONFD + 1, daemons=("confd",)).daemons == ("confd",)


def test_two_addresses_a_node_need_twice_the_pool() -> None:
    def most(*, secondary_ips: bool) -> Limit:
        return limits_of(Machine(blocks=4), secondary_ips=secondary_ips)[0]

    assert most(secondary_ips=True).most_nodes < most(secondary_ips=False).most_nodes
    # As many as are leased for, in fact.
    nodes = most(secondary_ips=True).most_nodes
    assert most(secondary_ips=True).needed(nodes) == "4"
    assert int(most(secondary_ips=True).needed(nodes + 1)) > 4


_IN_A_CHILD = """\
import resource, sys
from ipaddress import IPv4Network
from pytest_ganeti_vcluster.errors import MachineError
from pytest_ganeti_vcluster.ganeti.limits import check_limits
resource.setrlimit(getattr(resource, sys.argv[1]), (400, 400))
try:
    check_limits(int(sys.argv[2]), [], IPv4Network("127.64.0.0/10"))
except MachineError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("which", "told"), [("RLIMIT_NOFILE", "open files"), ("RLIMIT_NPROC", "of this user")]
)
def test_limits_of_the_process_are_seen(which: str, told: str) -> None:
    def told_for(nodes: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _IN_A_CHILD, which, str(nodes)], capture_output=True, text=True, check=True
        )
        return done.stdout

    assert told in told_for(500)
    if which == "RLIMIT_NOFILE":
        assert "400, and 500 nodes need" in told_for(500)
        assert told_for(1) == ""


def test_this_machine_is_looked_at() -> None:
    closely, roughly = Machine.look(POOL), Machine.look(POOL, closely=False)
    assert closely.blocks == 1 << 14
    assert 0 < closely.kernel_tasks < UNLIMITED
    assert 0 < closely.memory < UNLIMITED
    assert closely.instances <= roughly.instances
    assert closely.user_tasks <= roughly.user_tasks
