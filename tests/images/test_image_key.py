"""Everything that shapes an image changes its key, and nothing else does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import pytest_ganeti_vcluster
from pytest_ganeti_vcluster.cluster.making.image_key import image_key, of_no_use
from pytest_ganeti_vcluster.cluster.making.sites import taken_from_machine
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.images.store import ImageStore
from pytest_ganeti_vcluster.settings import Settings

from .conftest import Maker

SETTINGS = Settings()
SPEC = ClusterSpec()


@pytest.fixture
def installation(tmp_path: Path) -> GanetiInstallation:
    """A Ganeti with few files: for its key they are looked at only."""
    share, lib = tmp_path / "prefix/share", tmp_path / "prefix/lib"
    for path in (
        share / "gnt-cluster",
        share / "ganeti/_constants.py",
        share / "ganeti/__pycache__/_constants.cpython-311.pyc",
        lib / "usr/sbin/ganeti-luxid",
        lib / "usr/bin/htools",
        lib / "usr/lib/ganeti/daemon-util",
        tmp_path / "python3",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as built", encoding="utf-8")
    tool = Path("/usr/bin/tool")
    return GanetiInstallation(
        prefix=tmp_path / "prefix",
        version="3.0.2",
        series="3.0",
        python=tmp_path / "python3",
        origin="the folder asked for",
        share=share,
        lib=lib,
        sbin=lib / "usr/sbin",
        bin=lib / "usr/bin",
        pkglib=lib / "usr/lib/ganeti",
        nss_wrapper=tool,
        sshd=tool,
        sftp_server=tool,
        ssh=tool,
        ssh_keygen=tool,
        start_stop_daemon=tool,
        openssl=tool,
        ip=None,
        socat=None,
        sshd_helpers=(),
        library_path=(),
    )


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our own sources, which keys are made from instead."""
    home = Path(pytest_ganeti_vcluster.__file__).parent
    copy = tmp_path / "package"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(pytest_ganeti_vcluster, "__file__", str(copy / "__init__.py"))
    return copy


def test_it_is_short_hex_and_says_what_it_is_of(installation: GanetiInstallation) -> None:
    key = image_key(ClusterSpec(init_options=["--no-ssh-init"]), installation, SETTINGS)
    assert re.fullmatch("[0-9a-f]{16}", str(key))
    assert key.label == "Ganeti 3.0.2, 3 nodes, init_options=--no-ssh-init"
    assert image_key(ClusterSpec(nodes=1), installation, SETTINGS).label == "Ganeti 3.0.2, 1 node"
    # What sets images apart is told, and what is told already is not told again.
    other = ClusterSpec(name="dev", engine="loopback", ganeti="3.0")
    assert image_key(other, installation, SETTINGS).label == "Ganeti 3.0.2, 3 nodes, name=dev"


#: Specs that are all to have other images, of each field at least one.
SPECS: dict[str, list[ClusterSpec]] = {
    "nodes": [
        ClusterSpec(nodes=1),
        ClusterSpec(nodes=[NodeSpec(name="first")]),
        ClusterSpec(nodes=[NodeSpec(group="other")]),
        ClusterSpec(nodes=[NodeSpec(), NodeSpec(master_candidate=False)]),
        ClusterSpec(nodes=[NodeSpec(), NodeSpec(offline=True)]),
        ClusterSpec(nodes=2),
    ],
    "disk_templates": [
        ClusterSpec(disk_templates=["file"]),
        ClusterSpec(disk_templates=["file", "diskless"]),
    ],
    "daemons": [ClusterSpec(daemons=[]), ClusterSpec(daemons=["confd", "mond"])],
    "init_options": [
        ClusterSpec(init_options=["--uid-pool=1", "--no-ssh-init"]),
        ClusterSpec(init_options=["--no-ssh-init", "--uid-pool=1"]),
        ClusterSpec(init_options=["--uid-pool=1 --no-ssh-init"]),
    ],
    "name": [ClusterSpec(name="other")],
    "secondary_ips": [ClusterSpec(secondary_ips=True)],
    "join": [ClusterSpec(join="bulk"), ClusterSpec(join="real")],
}

#: Fields that choose what is part of the key by itself.
CHOOSING = {"engine", "needs", "ganeti"}


def test_each_field_of_a_spec_makes_another_key(installation: GanetiInstallation) -> None:
    # Whoever adds a field to a spec is reminded to say here whether it counts.
    assert {field.name for field in attrs.fields(ClusterSpec)} == set(SPECS) | CHOOSING
    specs = [SPEC, *(spec for some in SPECS.values() for spec in some)]
    assert len({image_key(spec, installation, SETTINGS).digest for spec in specs}) == len(specs)


def test_equal_specs_have_equal_keys_however_they_are_written(installation: GanetiInstallation) -> None:
    key = image_key(SPEC, installation, SETTINGS)
    named = ClusterSpec(nodes=[NodeSpec(name=f"node{number}") for number in (1, 2, 3)])
    assert image_key(named, installation, SETTINGS) == key
    for same in (
        ClusterSpec(engine="loopback"),
        ClusterSpec(ganeti="3.0"),
        ClusterSpec(nodes=3, disk_templates=["diskless", "file"]),
        # What nodes report is told each clone.
        ClusterSpec(nodes=[NodeSpec(memory=1024), NodeSpec(cpus=2), NodeSpec(disk=1024)]),
    ):
        assert image_key(same, installation, SETTINGS) == key
    other_way = attrs.evolve(installation, origin="fetched packages")
    assert image_key(SPEC, other_way, SETTINGS) == key
    elsewhere = attrs.evolve(SETTINGS, root=Path("/tmp/elsewhere"), timeout=1.0, image_limit=1)
    assert image_key(SPEC, installation, elsewhere) == key


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    program = """
from pytest_ganeti_vcluster.cluster.making.image_key import image_key, _plain
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings
print(image_key(ClusterSpec(), find_installation(Settings.read()), Settings.read()))
words = [chr(97 + number) * 3 for number in range(20)]
print(_plain({"set": set(words), "frozen": frozenset((word, 1) for word in words)}))
"""
    texts = {
        subprocess.check_output(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PYTHONHASHSEED": str(seed),
            },
        )
        for seed in (1, 2, 3)
    }
    assert len(texts) == 1


def test_an_engine_that_there_is_not_has_no_images(installation: GanetiInstallation) -> None:
    with pytest.raises(EngineUnavailable):
        image_key(ClusterSpec(needs={"time-travel"}), installation, SETTINGS)


def test_each_engine_has_its_images_and_some_depend_on_the_machine(
    installation: GanetiInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = try_namespaces().probe
    if not found.available:
        pytest.skip(f"{found.reason}; {found.cure}")
    spec = ClusterSpec(engine="namespaces")
    digests = {image_key(one, installation, SETTINGS).digest for one in (SPEC, spec)}
    assert "namespaces" in image_key(spec, installation, SETTINGS).label
    # As if something was installed that has a folder in /etc.
    links = {**taken_from_machine("namespaces", installation), "installed": "/run/host/etc/installed"}
    monkeypatch.setattr(
        f"{image_key.__module__}.taken_from_machine",
        lambda engine, _installation: links if engine == "namespaces" else {},
    )
    digests |= {image_key(one, installation, SETTINGS).digest for one in (SPEC, spec)}
    assert len(digests) == 3


def rebuild(path: Path) -> None:
    """Write a file again as it was, which is what `make install` does."""
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(before + 1, before + 1))


def enlarge(path: Path) -> None:
    """Change a file and set its time back, which is what some tools do."""
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(before, before))


@pytest.mark.parametrize("change", [rebuild, enlarge, Path.unlink], ids=["rebuilt", "enlarged", "removed"])
@pytest.mark.parametrize(
    "path",
    [
        "prefix/share/gnt-cluster",
        "prefix/share/ganeti/_constants.py",
        "prefix/lib/usr/sbin/ganeti-luxid",
        "prefix/lib/usr/bin/htools",
        "prefix/lib/usr/lib/ganeti/daemon-util",
        "python3",
    ],
)
def test_another_build_of_ganeti_makes_another_key(
    change: Callable[[Path], None], path: str, installation: GanetiInstallation, tmp_path: Path
) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    change(tmp_path / path)
    assert image_key(SPEC, installation, SETTINGS) != before


def test_an_additional_file_of_ganeti_makes_another_key(installation: GanetiInstallation) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    (installation.share / "ganeti/new.py").write_text("", encoding="utf-8")
    assert image_key(SPEC, installation, SETTINGS) != before


@pytest.mark.parametrize(
    "field", [field.name for field in attrs.fields(GanetiInstallation) if field.name != "origin"]
)
def test_each_field_of_an_installation_makes_another_key(
    field: str, installation: GanetiInstallation
) -> None:
    value = getattr(installation, field)
    others: dict[type, Any] = {str: "other", tuple: ("other",)}
    other = others.get(type(value), Path("/other"))
    changed = attrs.evolve(installation, **{field: other})
    assert image_key(SPEC, changed, SETTINGS) != image_key(SPEC, installation, SETTINGS)


def test_what_python_compiles_changes_nothing(installation: GanetiInstallation, own_package: Path) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    rebuild(installation.share / "ganeti/__pycache__/_constants.cpython-311.pyc")
    (own_package / "cluster/__pycache__").mkdir()
    (own_package / "cluster/__pycache__/spec.pyc").write_text("", encoding="utf-8")
    assert image_key(SPEC, installation, SETTINGS) == before


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("inside/adaptations/ssh.py", True),
        ("ganeti/bootstrap.py", True),
        ("ganeti/data/os/dd/create", True),
        ("engines/loopback/site.py", True),
        ("cluster/making/cloning.py", True),
        ("images/content.py", True),
        ("cli/gc.py", False),
        ("testing/pool.py", False),
        ("plugin.py", False),
    ],
)
def test_our_own_sources_count_where_they_shape_images(
    path: str, *, counts: bool, installation: GanetiInstallation, own_package: Path
) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    rebuild(own_package / path)
    # Of these it is the contents that count.
    assert image_key(SPEC, installation, SETTINGS) == before
    enlarge(own_package / path)
    assert (image_key(SPEC, installation, SETTINGS) != before) == counts


def test_a_renamed_source_of_ours_counts(installation: GanetiInstallation, own_package: Path) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    (own_package / "images/words.py").rename(own_package / "images/other_words.py")
    assert image_key(SPEC, installation, SETTINGS) != before


def test_where_our_sources_are_does_not_count(
    installation: GanetiInstallation, request: pytest.FixtureRequest
) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    request.getfixturevalue("own_package")
    assert image_key(SPEC, installation, SETTINGS) == before


@pytest.mark.parametrize("name", ["geteuid", "getegid"])
def test_each_user_has_images_of_its_own(
    name: str, installation: GanetiInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = image_key(SPEC, installation, SETTINGS)
    other = getattr(os, name)() + 1
    monkeypatch.setattr(os, name, lambda: other)
    assert image_key(SPEC, installation, SETTINGS) != before


def test_an_image_that_nobody_will_ask_for_is_told(
    installation: GanetiInstallation, own_package: Path, store: ImageStore, make: Maker
) -> None:
    store.obtain(image_key(SPEC, installation, SETTINGS), make)
    (info,) = store.images()
    assert of_no_use(info) == ""
    rebuild(installation.share / "gnt-cluster")
    assert of_no_use(info) == f"its Ganeti in {installation.prefix} has changed"
    shutil.rmtree(installation.prefix)
    assert of_no_use(info) == f"its Ganeti is gone from {installation.prefix}"
    elsewhere = attrs.evolve(info, facts={**info.facts, "host": "another"})
    assert of_no_use(elsewhere) == ""
    enlarge(own_package / "cluster/making/cloning.py")
    assert of_no_use(info).startswith("was made by another pytest-ganeti-vcluster (")
    assert of_no_use(elsewhere) == of_no_use(info)
    assert of_no_use(attrs.evolve(info, facts={})) == "was made by another pytest-ganeti-vcluster (unknown)"
