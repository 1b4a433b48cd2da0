"""Samples as apt 2.6 and dpkg 1.21 of Debian 12 print them."""

from __future__ import annotations

from pytest_ganeti_vcluster.ganeti.fetch import records

SHOW = """\
Package: ganeti
Version: 3.0.2-3
Installed-Size: 401
Maintainer: Debian Ganeti Team <ganeti@packages.debian.org>
Architecture: all
Replaces: ganeti-haskell, ganeti-htools, ganeti2 (<< 2.7.0-2)
Provides: ganeti-htools
Depends: ganeti-3.0 (= 3.0.2-3), ganeti-haskell-3.0 (>= 3.0.2-3), ganeti-haskell-3.0 (<< 3.0.2-3.1~), \
ganeti-htools-3.0 (>= 3.0.2-3), ganeti-htools-3.0 (<< 3.0.2-3.1~), adduser, python3, lsb-base (>= 3.0-6)
Pre-Depends: init-system-helpers (>= 1.54~)
Recommends: drbd-utils | drbd8-utils (>= 8.0.7), qemu-kvm | xen-system-amd64, fdisk
Description: cluster virtualization manager
 Ganeti is a virtual server cluster management software tool.
 .
 It: works: well.
Homepage: http://www.ganeti.org/
Filename: pool/main/g/ganeti/ganeti_3.0.2-3_all.deb
Size: 96212
MD5sum: 41ceed97965b43f44cbfca14d24c9e44
SHA256: 5d3bb4bbbf64fc1f0114fa186c53b53d0ae948941bb58fe09cc9a093e430e568

Package: openssh-server
Source: openssh
Version: 1:9.2p1-2+deb12u10
Architecture: amd64
Depends: adduser (>= 3.9), libaudit1 (>= 1:2.2.1), libc6 (>= 2.36)
Filename: pool/main/o/openssh/openssh-server_9.2p1-2+deb12u10_amd64.deb
Size: 457032
SHA256: 0000000000000000000000000000000000000000000000000000000000000001

Package: ganeti-3.0
Status: install ok installed
Version: 3.0.2-3
Architecture: all
"""

MADISON = """\
openssh-server | 1:9.2p1-2+deb12u10 | http://deb.debian.org/debian bookworm/main amd64 Packages
openssh-server | 1:9.2p1-2+deb12u9 | http://deb.debian.org/debian-security bookworm/main amd64 Packages
openssh-server | 1:9.2p1-2+deb12u10 | http://deb.debian.org/debian bookworm/main amd64 Packages
   openssh | 1:9.2p1-2 | http://deb.debian.org/debian bookworm/main Sources
"""

SIMULATION = """\
NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
Reading package lists...
The following NEW packages will be installed:
  ganeti-haskell-3.0 libc6 libcurl3-gnutls
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
Inst libtasn1-6 (4.19.0-2+deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst libzstd1 [1.5.4+dfsg2-4] (1.5.4+dfsg2-5 Debian:12.15/oldstable [amd64])
Inst libcurl3-gnutls:amd64 (7.88.1-10+deb12u15 Debian:12.15/oldstable [amd64])
Inst ganeti-haskell-3.0 (3.0.2-3 Debian:12.15/oldstable [amd64])
Inst ucf (3.0043+nmu1 Debian:12.15/oldstable [all])
Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64])
Conf ganeti-haskell-3.0 (3.0.2-3 Debian:12.15/oldstable [amd64])
"""

STATUS = """\
Package: adduser
Status: install ok installed
Version: 3.134
Conffiles:
 /etc/deluser.conf 773fb95e98a27947de4a95abb3d3f2a2

Package: drbd-utils
Status: deinstall ok config-files
Version: 9.22.0-1

Package: libpcre3
Status: hold ok installed
Version: 2:8.39-15
"""


def test_records_are_read_and_installed_ones_left_out() -> None:
    found = records.records(SHOW)
    assert set(found) == {"ganeti", "openssh-server"}
    assert found["ganeti"].size == 96212
    assert found["ganeti"].sha256.startswith("5d3bb4bb")
    assert found["ganeti"].file_name == "ganeti_3.0.2-3_all.deb"
    assert found["openssh-server"].file_name == "openssh-server_1%3a9.2p1-2+deb12u10_amd64.deb"


def test_folded_lines_belong_to_their_field() -> None:
    first = next(records.stanzas(SHOW))
    assert first["Description"].endswith("It: works: well.")
    assert "It" not in first


def test_the_series_is_told_by_what_ganeti_depends_on() -> None:
    depends = records.records(SHOW)["ganeti"].depends
    assert records.series_packages(depends) == ["ganeti-3.0", "ganeti-haskell-3.0", "ganeti-htools-3.0"]
    assert records.series_packages("ganeti-3.1 (= 3.1.0~rc2-1), ganeti-haskell-3.1:any | ganeti-doc") == [
        "ganeti-3.1",
        "ganeti-haskell-3.1",
    ]


def test_offered_versions_are_those_of_binary_packages() -> None:
    assert records.offered_versions(MADISON) == ["1:9.2p1-2+deb12u10", "1:9.2p1-2+deb12u9"]
    assert records.offered_versions("") == []


def test_upstream_versions() -> None:
    assert records.upstream_version("3.0.2-3") == "3.0.2"
    assert records.upstream_version("1:3.1.0~rc2-1~bpo12+1") == "3.1.0~rc2"
    assert records.upstream_version("3.0.2") == "3.0.2"


def test_a_simulation_tells_what_would_be_installed() -> None:
    found = records.simulated_packages(SIMULATION)
    assert ("libcurl3-gnutls", "7.88.1-10+deb12u15") in found
    assert ("libzstd1", "1.5.4+dfsg2-5") in found
    assert len(found) == 6
    libraries = [name for name, _version in records.shared_library_packages(found)]
    assert libraries == ["libtasn1-6", "libzstd1", "libcurl3-gnutls"]


def test_installed_packages_are_those_with_files() -> None:
    assert records.installed_packages(STATUS) == {"adduser", "libpcre3"}
