"""The site of a cluster, as several processes have it at once: what one of them does, the others see."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.engines.base import SiteTools
from pytest_ganeti_vcluster.engines.loopback.lease import Lease
from pytest_ganeti_vcluster.engines.loopback.site import LoopbackSite
from pytest_ganeti_vcluster.engines.site_names import READY_INSTANCE_NAMES
from pytest_ganeti_vcluster.errors import DaemonDied, KeeperError
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, read_stat
from pytest_ganeti_vcluster.keeper.record import create_root
from pytest_ganeti_vcluster.settings import DEFAULT_SUBNET, Settings


class Place:
    """A keeper with a lease, and sites on it: the first is made, all others attached by connections of their own."""

    def __init__(self, base: Path, lock_folder: Path) -> None:
        installation = find_installation(Settings.read())
        self._tools = SiteTools(
            nss_wrapper=installation.nss_wrapper,
            sshd=installation.sshd,
            ssh_keygen=installation.ssh_keygen,
            sftp_server=installation.sftp_server,
            sshd_helpers=installation.sshd_helpers,
            library_path=installation.library_path,
        )
        self.ssh_keygen = installation.ssh_keygen
        self._token = secrets.token_hex(16)
        self._keepers = [Keeper.start(create_root(base), token=self._token)]
        self.root = self._keepers[0].root
        self._blocks = Lease.acquire(self._keepers[0], DEFAULT_SUBNET, lock_folder=lock_folder).blocks

    def create(self) -> LoopbackSite:
        return LoopbackSite.create(**self._arguments(self._keepers[0]))

    def attach(self) -> LoopbackSite:
        self._keepers.append(Keeper.connect(self.root))
        return LoopbackSite.attach(**self._arguments(self._keepers[-1]))

    def _arguments(self, keeper: Keeper) -> dict[str, Any]:
        return {
            "keeper": keeper,
            "lease": Lease(self._blocks, keeper),
            "root": self.root,
            "tools": self._tools,
            "cluster_name": "cluster.vc",
            "token": self._token,
        }

    def sshds(self) -> list[ProcessIdentity]:
        """Return those that listen: each has children for a moment after somebody has asked it."""
        stats = [read_stat(one.pid) for one in self._keepers[0].processes() if one.name == "sshd"]
        sshds = [stat for stat in stats if stat is not None]
        pids = {stat.pid for stat in sshds}
        return [stat.identity for stat in sshds if stat.ppid not in pids]

    def kill_sshd(self) -> None:
        [sshd] = self.sshds()
        self._keepers[0].signal(sshd, signal.SIGKILL)
        assert sshd.wait_gone(10)

    def end(self) -> None:
        for keeper in self._keepers[1:]:
            keeper.close()
        self._keepers[0].stop()


@pytest.fixture
def place(clusters_root: Path, tmp_path: Path) -> Iterator[Place]:
    place = Place(clusters_root, tmp_path)
    yield place
    place.end()


def test_an_attached_site_has_what_the_first_one_has(place: Place) -> None:
    with pytest.raises(KeeperError, match="no cluster in it that runs"):
        place.attach()
    first = place.create()
    first.start()
    node = first.node("node1.vc", 1)
    second = place.attach()
    assert second.cluster_ip == first.cluster_ip
    assert second.site_of("node1.vc", 1) == node
    assert second.environment(node) == first.environment(node)
    assert second.hosts.nodes() == {"node1.vc": node.ip}


def test_names_of_one_are_known_to_the_other_and_no_address_is_given_twice(place: Place) -> None:
    first = place.create()
    second = place.attach()
    given = {site.add_name(f"web{number}") for number in range(10) for site in (first, second)}
    assert len(given) == 10
    given |= {site.add_name(name) for name, site in (("one", first), ("two", second))}
    assert len(given) == 12
    assert second.add_name("web3") == first.add_name("web3")
    first.forget("web3")
    assert not second.knows("web3")


def test_one_sshd_serves_the_nodes_that_several_processes_make(place: Place) -> None:
    first = place.create()
    first.start(wait=False)
    second = place.attach()
    # The second one has to wait for what the first one only started.
    second.node("node2.vc", 2)
    first.wait_ready()
    sshds = place.sshds()
    assert len(sshds) == 1
    first.nodes([("node3.vc", 3), ("node17.vc", 17)])
    assert len(place.sshds()) == 2
    second.node("node18.vc", 18)
    assert len(place.sshds()) == 2
    links = {link.name: link.readlink().name for link in (place.root / "engine/by-address").iterdir()}
    assert links == {address: name for name, address in second.hosts.nodes().items()}
    assert sorted(links.values()) == ["node17.vc", "node18.vc", "node2.vc", "node3.vc"]


def test_a_dead_sshd_is_started_again_by_whoever_needs_it(place: Place) -> None:
    first = place.create()
    first.start()
    second = place.attach()
    place.kill_sshd()
    second.node("node2.vc", 2)
    assert len(place.sshds()) == 1
    first.start()
    assert len(place.sshds()) == 1


def test_an_sshd_that_cannot_start_is_told_of_when_it_is_waited_for(place: Place) -> None:
    site = place.create()
    site.host_key.write_text("this is no key")
    site.host_key.chmod(0o600)
    site.start(wait=False)
    with pytest.raises(DaemonDied, match="sshd for the nodes has ended") as caught:
        site.wait_ready()
    assert "host key" in caught.value.seen.lower()


def test_given_keys_are_kept(place: Place) -> None:
    site = place.create()
    for key, kind in ((site.host_key, "rsa"), (site.admin_key, "ed25519")):
        subprocess.run([place.ssh_keygen, "-q", "-t", kind, "-N", "", "-f", key], check=True)
    before = {key: key.read_bytes() for key in (site.host_key, site.admin_key)}
    site.start()
    assert {key: key.read_bytes() for key in before} == before


def test_names_and_logins_are_put_back(place: Place) -> None:
    first, second = place.create(), place.attach()
    first.start()
    first.nodes([("node1.vc", 1), ("node2.vc", 2)])
    then = first.hosts.path.read_text(), first.hosts.nodes_path.read_text()
    links = {link.name: link.readlink() for link in (place.root / "engine/by-address").iterdir()}
    second.forget("node2.vc")
    second.node("node3.vc", 3)
    spare = second.add_name("web")
    first.put_back(*then)
    assert {link.name: link.readlink() for link in (place.root / "engine/by-address").iterdir()} == links
    assert not second.knows("web")
    assert second.add_name("other") == spare
    assert second.knows(f"instance{READY_INSTANCE_NAMES}")
