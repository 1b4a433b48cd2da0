"""Real apt and dpkg on a package source in a folder: no network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import InstallFailed
from pytest_ganeti_vcluster.ganeti.fetch import apt as apt_module
from pytest_ganeti_vcluster.ganeti.fetch import packages
from pytest_ganeti_vcluster.ganeti.fetch.apt import PrivateApt, sha256_of

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")


def ignore(_done: float) -> None:
    pass


def build_package(folder: Path, name: str, version: str, depends: str = "") -> Path:
    tree = folder / f"tree-{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share" / name).mkdir(parents=True)
    (tree / "usr/share" / name / "version").write_text(version, encoding="utf-8")
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.org>\n"
    control += f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(f"{control}Description: a test\n", encoding="utf-8")
    path = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(path)], check=True, capture_output=True
    )
    shutil.rmtree(tree)
    return path


def write_index(folder: Path) -> None:
    stanzas = []
    for path in sorted(folder.glob("*.deb")):
        control = subprocess.run(
            ["dpkg-deb", "-f", str(path)], check=True, capture_output=True, text=True
        ).stdout
        stanzas.append(
            f"{control.strip()}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {sha256_of(path)}\n"
        )
    (folder / "Packages").write_text("\n".join(stanzas), encoding="utf-8")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    build_package(folder, "ganeti-test", "1:1.0-2", depends="libtest1 (>= 1)")
    build_package(folder, "libtest1", "1.5-1")
    write_index(folder)
    return folder


def private_apt(tmp_path: Path, source: Path, *, trusted: bool) -> PrivateApt:
    """A private apt whose only source is the folder; trusted is what a host's owner may write, never we."""
    apt = PrivateApt(tmp_path / "apt")
    apt.prepare()
    listed = tmp_path / "sources.list"
    listed.write_text(f"deb {'[trusted=yes] ' if trusted else ''}file:{source} ./\n", encoding="utf-8")
    with (apt.folder / "apt.conf").open("a", encoding="utf-8") as config:
        config.write(f'Dir::Etc::sourcelist "{listed}";\nDir::Etc::sourceparts "{tmp_path}/none";\n')
    return apt


def test_an_unsigned_source_is_refused(tmp_path: Path, source: Path) -> None:
    apt = private_apt(tmp_path, source, trusted=False)
    with pytest.raises(InstallFailed, match=r"does not have a Release file|is not signed"):
        apt.update(ignore)


def test_a_host_that_allows_unsigned_packages_does_not_have_its_way(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host.conf"
    host.write_text(
        'APT::Get::AllowUnauthenticated "true";\nAcquire::AllowInsecureRepositories "true";\n'
        'APT::Update::Post-Invoke { "touch ' + str(tmp_path / "hook-ran") + '"; };\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("APT_CONFIG", str(host))
    apt = private_apt(tmp_path, source, trusted=False)
    with pytest.raises(InstallFailed):
        apt.update(ignore)
    assert not (tmp_path / "hook-ran").exists()


def test_packages_are_found_and_fetched_whole(tmp_path: Path, source: Path) -> None:
    apt = private_apt(tmp_path, source, trusted=True)
    apt.update(ignore)
    assert apt.offered("ganeti-test") == ["1:1.0-2"]
    assert apt.offered("ganeti-absent") == []
    chosen = apt.closure([("ganeti-test", "1:1.0-2")])
    assert sorted(chosen) == [("ganeti-test", "1:1.0-2"), ("libtest1", "1.5-1")]
    told: list[float] = []
    files = apt.fetch(apt.records(chosen), told.append)
    assert {path.name for path in files} == {"ganeti-test_1%3a1.0-2_all.deb", "libtest1_1.5-1_all.deb"}
    assert told[-1] == pytest.approx(1.0)
    # A second time nothing is fetched: the source may be gone.
    shutil.rmtree(source)
    assert apt.fetch(apt.records(chosen), told.append) == files


def test_a_package_that_is_not_what_the_lists_say_is_refused(tmp_path: Path, source: Path) -> None:
    apt = private_apt(tmp_path, source, trusted=True)
    apt.update(ignore)
    path = source / "libtest1_1.5-1_all.deb"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InstallFailed):
        apt.fetch(apt.records([("libtest1", "1.5-1")]), ignore)
    assert list((apt.folder / "files").glob("*.deb")) == []


def test_a_file_that_was_spoiled_since_is_fetched_again(tmp_path: Path, source: Path) -> None:
    apt = private_apt(tmp_path, source, trusted=True)
    apt.update(ignore)
    described = apt.records([("libtest1", "1.5-1")])
    [path] = apt.fetch(described, ignore)
    path.unlink()
    path.write_bytes(b"spoiled")
    [path] = apt.fetch(described, ignore)
    assert sha256_of(path) == described[0].sha256


def test_what_is_not_offered_is_said_with_what_is(tmp_path: Path, source: Path) -> None:
    build_package(source, "ganeti", "3.0.2-3", depends="ganeti-3.0")
    write_index(source)
    apt = private_apt(tmp_path, source, trusted=True)
    apt.update(ignore)
    with pytest.raises(InstallFailed) as caught:
        packages.choose(apt, "3.9")
    assert "no Ganeti 3.9" in caught.value.message
    assert "3.0.2-3" in caught.value.seen
    with pytest.raises(InstallFailed, match=r"needs ganeti-3\.0 of the same version"):
        packages.choose(apt, "3.0")


def test_a_system_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallFailed, match="Debian, Ubuntu") as caught:
        apt_module.check_programs()
    assert "apt-get" in caught.value.seen
    assert "--vcluster-ganeti" in caught.value.cure
