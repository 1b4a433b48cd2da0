"""Real apt on a signed mirror in a folder, which has a release of Debian's make and its backports."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import InstallFailed
from pytest_ganeti_vcluster.ganeti.fetch import packages, records
from pytest_ganeti_vcluster.ganeti.fetch.apt import PrivateApt
from tests.ganeti.test_fetch_apt import build_package, ignore

needs_apt = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("gpg") is None, reason="needs apt and gpg"
)

TARGETS = """\
MetaKey: main/binary-amd64/Packages
Codename: bookworm
Label: Debian
Origin: Debian
Suite: {suite}
Repo-URI: http://mirror.example.org/debian/
Sourcesentry: /etc/apt/sources.list.d/debian.sources:2

MetaKey: main/binary-amd64/Packages
Codename: {other}
Label: {label}
Origin: Debian
Suite: oldstable-more
Repo-URI: http://mirror.example.org/more/
Sourcesentry: /etc/apt/sources.list:1
"""


def test_the_release_says_which_backports_there_are() -> None:
    for suite in ("stable", "oldstable", "oldoldstable"):
        found = records.backports(
            TARGETS.format(suite=suite, other="bookworm-security", label="Debian-Security")
        )
        assert found == records.Backports(
            "http://mirror.example.org/debian/",
            "bookworm-backports",
            (Path("/etc/apt/sources.list.d/debian.sources"), 2),
        )
    # The host has them already, is no release, or is another distribution.
    assert (
        records.backports(
            TARGETS.format(suite="stable", other="bookworm-backports", label="Debian Backports")
        )
        is None
    )
    assert records.backports(TARGETS.format(suite="testing", other="x", label="Debian")) is None
    ubuntu = TARGETS.format(suite="jammy", other="x", label="Ubuntu").replace("Debian", "Ubuntu")
    assert records.backports(ubuntu) is None


def test_the_key_is_that_of_the_hosts_own_entry() -> None:
    listed = (
        "# mirrors\n\ndeb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://m bookworm main\ndeb http://m x y\n"
    )
    assert records.signed_by("debian.list", listed, 3) == "/k/a.gpg\n/k/b.gpg"
    assert records.signed_by("debian.list", listed, 4) == ""
    sources = (
        "# a comment\nTypes: deb\nURIs: http://m/one\nSuites: a\nComponents: main\nSigned-By: /k/one.gpg\n\n"
        "Types: deb\n# another\nURIs: http://m/two\nSuites: b\nComponents: main\nSigned-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    assert records.signed_by("debian.sources", sources, 1) == "/k/one.gpg"
    key = records.signed_by("debian.sources", sources, 2)
    stanza = records.Backports("http://m", "b-backports", (Path("/x"), 1)).stanza(key)
    assert "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END" in stanza


class Mirror:
    """A mirror in a folder, signed with a key of its own; `entry` is the host's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key.gpg"
        self._home = folder / "gnupg"
        self._home.mkdir(mode=0o700, parents=True)
        self._gpg("--passphrase", "", "--quick-generate-key", "T <t@example.org>", "ed25519", "sign")
        self._gpg("--output", str(self.key), "--export")

    def _gpg(self, *args: str) -> None:
        command = ["gpg", "--homedir", str(self._home), "--batch", "--yes", "--no-autostart", *args]
        if "--quick-generate-key" in args or "--clearsign" in args:
            command.remove("--no-autostart")
        subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)

    def publish(self, codename: str, suite: str, label: str, *versions: str) -> None:
        """Offer these versions of Ganeti."""
        pool = self.folder / "pool" / codename
        dist = self.folder / "dists" / codename
        pool.mkdir(parents=True)
        index = dist / "main" / f"binary-{_architecture()}" / "Packages"
        index.parent.mkdir(parents=True)
        stanzas = []
        for version in versions:
            series = ".".join(version.split(".")[:2])
            for name, depends in (
                ("ganeti", f"ganeti-{series}"),
                (f"ganeti-{series}", ""),
                ("libnss-wrapper", ""),
            ):
                path = build_package(pool, name, version, depends)
                control = subprocess.run(
                    ["dpkg-deb", "-f", str(path)], check=True, capture_output=True, text=True
                ).stdout.strip()
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                where = path.relative_to(self.folder)
                stanzas.append(
                    f"{control}\nFilename: {where}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
                )
        index.write_text("\n".join(stanzas), encoding="utf-8")
        not_automatic = "NotAutomatic: yes\nButAutomaticUpgrades: yes\n" if "backports" in codename else ""
        data = index.read_bytes()
        (dist / "Release").write_text(
            f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nCodename: {codename}\n{not_automatic}"
            f"Date: Sat, 01 Jan 2022 00:00:00 UTC\nArchitectures: all {_architecture()}\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} {index.relative_to(dist)}\n",
            encoding="utf-8",
        )
        self._gpg("--output", str(dist / "InRelease"), "--clearsign", str(dist / "Release"))

    def host(self, folder: Path) -> Path:
        """Write what a host has in /etc/apt that uses this mirror."""
        parts = folder / "sources.list.d"
        parts.mkdir(parents=True)
        (parts / "debian.sources").write_text(
            f"Types: deb\nURIs: file:{self.folder}\nSuites: bookworm\nComponents: main\nSigned-By: {self.key}\n",
            encoding="utf-8",
        )
        config = folder / "apt.conf"
        config.write_text(
            f'Dir::Etc::sourcelist "{folder}/none";\nDir::Etc::sourceparts "{parts}";\n', encoding="utf-8"
        )
        return config


def _architecture() -> str:
    return subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()


@needs_apt
def test_what_only_the_backports_have_is_taken_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sockets of gpg's agent have short paths only.
    home = Path("/tmp") / f"gvc-test-{os.getpid()}"
    mirror = Mirror(home)
    try:
        mirror.publish("bookworm", "oldstable", "Debian", "3.0.2-3")
        mirror.publish("bookworm-backports", "oldstable-backports", "Debian Backports", "3.1.0~rc2-3~bpo12+1")
        monkeypatch.setenv("APT_CONFIG", str(mirror.host(tmp_path)))
        apt = PrivateApt(tmp_path / "apt")
        apt.prepare()
        apt.update(ignore)
        assert packages.is_offered(apt, "")
        assert packages.is_offered(apt, "3.0")
        assert not packages.is_offered(apt, "3.1")

        assert apt.add_backports()
        apt.update(ignore)
        assert packages.choose(apt, "3.1").version == "3.1.0~rc2-3~bpo12+1"
        # What is not asked for by its version stays the release's.
        assert packages.choose(apt, "").version == "3.0.2-3"
        assert not apt.add_backports(), "they are there already"

        # Another key than the host has for its mirror is not good enough.
        apt.prepare()
        apt.update(ignore)
        assert not packages.is_offered(apt, "3.1"), "the next run begins with the host's own"
        other = Mirror(home / "other")
        mirror.key.write_bytes(other.key.read_bytes())
        other.close()
        assert apt.add_backports()
        with pytest.raises(InstallFailed, match=r"NO_PUBKEY|not signed|couldn't be verified"):
            apt.update(ignore)
    finally:
        mirror.close()
        shutil.rmtree(home)
