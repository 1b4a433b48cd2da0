"""Names that come and go while processes run: nss_wrapper must see each change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.engines.loopback.names import MAX_HOST_ENTRIES, Hosts, group_text, passwd_text
from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings

# Answers each name on its input with the address, or with "unknown".
_RESOLVER = """
import socket, sys
for line in sys.stdin:
    try:
        print(socket.gethostbyname(line.strip()), flush=True)
    except OSError:
        print("unknown", flush=True)
"""

_USERS = "import grp, pwd; print(pwd.getpwnam('gnt-masterd').pw_uid, grp.getgrnam('gnt-luxid').gr_gid)"


@pytest.fixture
def nss_wrapper() -> Path:
    try:
        return find_installation(Settings.read()).nss_wrapper
    except GanetiNotFound as error:
        pytest.fail(str(error), pytrace=False)


class Resolver:
    """A process that started before the names were made known, and keeps running."""

    def __init__(self, nss_wrapper: Path, hosts: Hosts) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RESOLVER],
            env={
                **os.environ,
                "LD_PRELOAD": str(nss_wrapper),
                "NSS_WRAPPER_HOSTS": str(hosts.path),
                "NSS_WRAPPER_MAX_HOSTENTS": str(MAX_HOST_ENTRIES),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def address(self, name: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    hosts = Hosts(tmp_path)
    hosts.set("127.70.0.1", "cluster.vc", "cluster")
    return hosts


@pytest.fixture
def resolver(nss_wrapper: Path, hosts: Hosts) -> Iterator[Resolver]:
    resolver = Resolver(nss_wrapper, hosts)
    yield resolver
    resolver.close()


def test_a_running_process_sees_each_of_many_changes_in_one_second(resolver: Resolver, hosts: Hosts) -> None:
    assert resolver.address("cluster") == "127.70.0.1"
    for number in range(1, 40):
        hosts.set_node(f"127.70.1.{number}", f"node{number}.vc", f"node{number}")
        assert resolver.address(f"node{number}.vc") == f"127.70.1.{number}"
        assert resolver.address(f"node{number}") == f"127.70.1.{number}"


def test_more_names_than_the_library_holds_by_default(resolver: Resolver, hosts: Hosts) -> None:
    # Past 100 entries nss_wrapper answers "Hash table is full" to everything, unless its limit was raised.
    hosts.set_many({f"i{number}.vc": (f"127.71.0.{number}", f"i{number}.vc") for number in range(1, 251)})
    assert resolver.address("i1.vc") == "127.71.0.1"
    assert resolver.address("i250.vc") == "127.71.0.250"
    assert resolver.address("cluster.vc") == "127.70.0.1"


def test_the_list_of_nodes_has_nodes_only(hosts: Hosts) -> None:
    hosts.set_node("127.70.1.1", "node1.vc", "node1")
    hosts.set("127.70.2.1", "web.vc")
    assert hosts.nodes_path.read_text() == "127.70.1.1 node1.vc\n"
    hosts.remove("node1.vc")
    assert hosts.nodes_path.read_text() == ""
    assert hosts.address("node1") is None


def test_changes_of_many_processes_are_all_there(resolver: Resolver, hosts: Hosts) -> None:
    program = (
        "import sys; from pathlib import Path; from pytest_ganeti_vcluster.engines.loopback.names import Hosts\n"
        "hosts = Hosts(Path(sys.argv[1])); block = sys.argv[2]\n"
        "for host in range(1, 41): hosts.set_node(f'127.70.{block}.{host}', f'n{block}-{host}.vc')\n"
        "for host in range(1, 21): hosts.remove(f'n{block}-{host}.vc')"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(hosts.path.parent), str(block)])
        for block in range(1, 5)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    left = {
        f"n{block}-{host}.vc": f"127.70.{block}.{host}" for block in range(1, 5) for host in range(21, 41)
    }
    assert hosts.nodes() == left
    for name, address in left.items():
        assert resolver.address(name) == address
    # Each change had a stamp of its own: 1 of the fixture, 4 times 40 and 20.
    assert int(hosts.path.stat().st_mtime) == 1_000_000_000 + 4 * 60


def test_a_running_process_sees_what_is_put_back(resolver: Resolver, hosts: Hosts) -> None:
    hosts.set_node("127.70.1.1", "node1.vc", "node1")
    then = hosts.path.read_text(), hosts.nodes_path.read_text()
    for _ in range(3):
        hosts.set_node("127.70.1.1", "node1.vc", "moved")
        hosts.set_node("127.70.1.2", "node2.vc", "node2")
        assert resolver.address("node2") == "127.70.1.2"
        assert resolver.address("node1") == "unknown"
        hosts.replace_with(*then)
        assert resolver.address("node2") == "unknown"
        assert resolver.address("node1") == "127.70.1.1"
    assert (hosts.path.read_text(), hosts.nodes_path.read_text()) == then
    assert hosts.address("node2.vc") is None


def test_what_changes_nothing_writes_nothing(hosts: Hosts) -> None:
    before = hosts.path.stat()
    hosts.set("127.70.0.1", "cluster.vc", "cluster")
    hosts.remove("nobody.vc")
    assert hosts.give("cluster", ["127.70.0.9"]) == "127.70.0.1"
    after = hosts.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_names_are_given_the_first_free_address(hosts: Hosts) -> None:
    room = ["127.70.0.1", "127.70.0.2", "127.70.0.3"]
    assert hosts.give("a.vc", room, alias="a") == "127.70.0.2"
    assert hosts.give("a", room) == "127.70.0.2"
    assert hosts.give("b.vc", room, alias="a") == "127.70.0.3"
    assert hosts.address("a") == "127.70.0.2"
    assert hosts.give("c.vc", room, alias="c") is None
    assert hosts.address("c") is None
    hosts.remove("a.vc")
    assert hosts.give("c.vc", room, alias="c") == "127.70.0.2"


def test_users_of_ganeti_are_the_current_user(nss_wrapper: Path, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text(passwd_text(tmp_path))
    (tmp_path / "group").write_text(group_text())
    environment = {
        **os.environ,
        "LD_PRELOAD": str(nss_wrapper),
        "NSS_WRAPPER_PASSWD": str(tmp_path / "passwd"),
        "NSS_WRAPPER_GROUP": str(tmp_path / "group"),
    }
    output = subprocess.check_output([sys.executable, "-c", _USERS], env=environment, text=True)
    assert output.split() == [str(os.getuid()), str(os.getgid())]
