"""A Ganeti that is run as it is: from the machine, or from a folder that is laid over /usr."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.engines.namespaces.layers import NO_LAYERS
from pytest_ganeti_vcluster.errors import EngineUnavailable
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.ganeti.unmodified import (
    check_unmodified,
    layers_of,
    run_unmodified,
    version_links,
)
from pytest_ganeti_vcluster.settings import Settings


@pytest.fixture
def elsewhere(tmp_path: Path) -> GanetiInstallation:
    """One that looks as if it had been unpacked to a folder."""
    found = find_installation(Settings.read())
    prefix = tmp_path / "prefix"
    lib = prefix / "usr/lib/ganeti/9.9"
    pkglib = lib / "usr/lib/ganeti"
    pkglib.mkdir(parents=True)
    util = pkglib / "daemon-util"
    util.write_text("#!/bin/sh\necho ganeti-noded ganeti-mond\n", encoding="ascii")
    util.chmod(0o755)
    sbin = prefix / "usr/sbin"
    sbin.mkdir()
    (sbin / "gnt-cluster").symlink_to("/usr/share/ganeti/default/gnt-cluster")
    share = prefix / "usr/share/ganeti/9.9"
    return attrs.evolve(found, prefix=prefix, series="9.9", share=share, lib=lib, pkglib=pkglib)


def test_a_folder_is_laid_over_usr(elsewhere: GanetiInstallation, tmp_path: Path) -> None:
    folder = tmp_path / "farm"
    farm = run_unmodified(elsewhere, folder)
    assert (str(farm.sbin), str(farm.lib)) == ("/usr/sbin", "/usr/lib/ganeti/9.9/usr/lib/ganeti")
    assert farm.optional_daemons(()) == ["mond"]
    assert version_links(elsewhere) == {"share": "/usr/share/ganeti/9.9", "lib": "/usr/lib/ganeti/9.9"}
    layers = layers_of(elsewhere, folder)
    assert layers.options == f"lowerdir={folder / 'usr'}:{elsewhere.prefix / 'usr'}:/usr"
    assert layers.program(elsewhere.prefix / "usr/sbin/sshd") == Path("/usr/sbin/sshd")
    assert layers.program(Path("/usr/sbin/sshd")) == Path("/usr/sbin/sshd")


def test_modules_that_it_brings_are_where_the_machine_s_python_looks(
    elsewhere: GanetiInstallation, tmp_path: Path
) -> None:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    modules = elsewhere.prefix / "venv/lib" / version / "site-packages"
    modules.mkdir(parents=True)
    (modules / "pycurl.so").touch()
    try:
        farm = run_unmodified(elsewhere, tmp_path / "farm")
    except EngineUnavailable as error:
        assert "is of another version or missing" in error.message  # noqa: PT017
        return
    # It leads nowhere here.
    [link] = [path for path in farm.folder.rglob("*") if path.name == "pycurl.so"]
    assert str(link.readlink()) == "/run/host/modules/pycurl.so"
    assert "-packages" in link.parent.name
    assert layers_of(elsewhere, farm.folder).covers == [[str(modules), "/run/host/modules"]]


def test_what_cannot_be_where_it_was_built_to_be_is_refused(
    elsewhere: GanetiInstallation, tmp_path: Path
) -> None:
    for installation, told in (
        (attrs.evolve(elsewhere, share=tmp_path / "prefix/share/ganeti/9.9"), "not built for /usr"),
        (attrs.evolve(elsewhere, prefix=tmp_path / "a:b", share=tmp_path / "a:b/usr/x"), "such a name"),
    ):
        with pytest.raises(EngineUnavailable, match=told):
            check_unmodified(installation)


def test_the_machine_s_own_is_run_as_it_is_there(elsewhere: GanetiInstallation, tmp_path: Path) -> None:
    own = attrs.evolve(elsewhere, prefix=Path("/"))
    assert layers_of(own, tmp_path) is NO_LAYERS
    check_unmodified(own)
