from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti import interpreter
from pytest_ganeti_vcluster.ganeti.installation import (
    MANIFEST,
    GanetiInstallation,
    all_installations,
    find_installation,
    installation_at,
)
from pytest_ganeti_vcluster.ganeti.tools import find_nss_wrapper, find_program
from pytest_ganeti_vcluster.ganeti.tree import version_key, version_matches
from pytest_ganeti_vcluster.settings import Settings
from tests.ganeti.conftest import MakePrefix


def settings(ganeti: Path | str | None = None) -> Settings:
    return Settings.read(flags={"ganeti": None if ganeti is None else str(ganeti)}, environment={})


def test_the_real_one_has_all_that_it_names(real: GanetiInstallation) -> None:
    for path in (
        real.nss_wrapper,
        real.sshd,
        real.sftp_server,
        real.ssh,
        real.ssh_keygen,
        real.start_stop_daemon,
    ):
        assert path.is_absolute()
        assert path.is_file()
    assert (real.share / "ganeti/_constants.py").is_file()
    assert real.sbin.is_relative_to(real.lib)
    assert (real.pkglib / "daemon-util").is_file()
    assert (real.rapi_client_folder / "client.py").is_file()
    assert real.version.startswith(real.series)


def test_its_python_imports_ganeti(real: GanetiInstallation) -> None:
    code = "import ganeti.bootstrap, ganeti.server.noded as n; print(n.constants.RELEASE_VERSION)"
    done = subprocess.run(
        [str(real.python), "-c", code],
        env={"PYTHONPATH": str(real.share)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == real.version


@pytest.mark.parametrize("fetched", [True, False])
def test_a_folder_is_found_by_the_option(
    tmp_path: Path, make_prefix: MakePrefix, real: GanetiInstallation, *, fetched: bool
) -> None:
    prefix = make_prefix(tmp_path / "g", version="3.0.77", fetched=fetched)
    found = find_installation(settings(prefix))
    assert (found.prefix, found.version, found.series) == (prefix, "3.0.77", real.series)
    assert found.python == real.python
    assert found.nss_wrapper == real.nss_wrapper
    assert found.share == prefix / "usr/share/ganeti" / real.series


@pytest.mark.parametrize(("base", "series"), [("usr/local", ""), ("usr", "3.0.77")])
def test_what_make_install_makes_is_found(
    tmp_path: Path, make_prefix: MakePrefix, real: GanetiInstallation, base: str, series: str
) -> None:
    prefix = make_prefix(tmp_path / "g", base=base, series=series, fetched=False)
    found = find_installation(settings(prefix))
    assert found.series == (series or real.series)
    assert found.share == prefix / base / "share/ganeti" / found.series
    assert found.sbin == prefix / base / "lib/ganeti" / found.series / base / "sbin"
    assert found.pkglib == prefix / base / "lib/ganeti" / found.series / base / "lib/ganeti"


def test_one_that_was_configured_for_other_places_is_told_how_to_be(
    tmp_path: Path, make_prefix: MakePrefix
) -> None:
    prefix = make_prefix(tmp_path / "g", base="usr/local", fetched=False)
    constants = next(prefix.glob("usr/local/share/ganeti/*/ganeti/_constants.py"))
    text = constants.read_text(encoding="utf-8")
    constants.write_text(
        text.replace('LOCALSTATEDIR = "/var"', 'LOCALSTATEDIR = "/usr/local/var"'), encoding="utf-8"
    )
    with pytest.raises(GanetiNotFound) as caught:
        installation_at(prefix, "test")
    assert "built to have /usr/local/var for /var" in caught.value.seen
    assert "--sysconfdir=/etc --localstatedir=/var" in caught.value.seen


@pytest.mark.parametrize(
    "name",
    ["lib/ganeti/{}/usr/sbin/ganeti-luxid", "lib/ganeti/{}/usr/bin/htools", "share/ganeti/{}/ganeti-noded"],
)
def test_a_missing_program_is_named(
    tmp_path: Path, make_prefix: MakePrefix, real: GanetiInstallation, name: str
) -> None:
    prefix = make_prefix(tmp_path / "g")
    path = prefix / "usr" / name.format(real.series)
    path.unlink()
    with pytest.raises(GanetiNotFound) as caught:
        find_installation(settings(prefix))
    assert f"{path} is missing" in caught.value.seen


def test_a_broken_link_and_a_program_that_cannot_run_are_named(
    tmp_path: Path, make_prefix: MakePrefix, real: GanetiInstallation
) -> None:
    prefix = make_prefix(tmp_path / "g")
    luxid = prefix / "usr/lib/ganeti" / real.series / "usr/sbin/ganeti-luxid"
    luxid.unlink()
    luxid.symlink_to("/nowhere/at/all")
    with pytest.raises(GanetiNotFound, match=r"ganeti-luxid is missing \(a broken link\)"):
        installation_at(prefix, "test")
    luxid.unlink()
    luxid.write_bytes(b"\x7fELF")
    luxid.chmod(0o644)
    with pytest.raises(GanetiNotFound, match="ganeti-luxid cannot be executed"):
        installation_at(prefix, "test")


def test_an_environment_whose_python_has_gone_is_named(tmp_path: Path, make_prefix: MakePrefix) -> None:
    prefix = make_prefix(tmp_path / "g")
    (prefix / "venv/bin").mkdir(parents=True)
    (prefix / "venv/bin/python").symlink_to("/usr/bin/python2.1")
    (prefix / MANIFEST).write_text(json.dumps({"python": "venv/bin/python"}), encoding="utf-8")
    with pytest.raises(GanetiNotFound, match=r"venv/bin/python is missing \(a link to /usr/bin/python2\.1\)"):
        installation_at(prefix, "test")


def test_a_python_without_the_modules_is_refused(tmp_path: Path, make_prefix: MakePrefix) -> None:
    prefix = make_prefix(tmp_path / "g")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix / "venv")], check=True)
    (prefix / MANIFEST).write_text(json.dumps({"python": "venv/bin/python"}), encoding="utf-8")
    with pytest.raises(GanetiNotFound, match="lacks the modules pycurl, OpenSSL"):
        installation_at(prefix, "test")


def test_a_module_that_is_too_new_is_refused(tmp_path: Path, real: GanetiInstallation) -> None:
    folders = subprocess.run(
        [str(real.python), "-c", "import sys; print('\\n'.join(filter(None, sys.path)))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    subprocess.run([str(real.python), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    site = next((tmp_path / "venv/lib").glob("python3*/site-packages"))
    (site / "real.pth").write_text(folders, encoding="utf-8")
    assert interpreter.unfit_because(python, real.version) == ""
    (site / "pyopenssl-26.1.0.dist-info").mkdir()
    assert "has pyOpenSSL 26.1.0, too new for Ganeti" in interpreter.unfit_because(python, real.version)


def test_a_program_that_is_no_python_is_refused(real: GanetiInstallation) -> None:
    assert "fails" in interpreter.unfit_because(Path("/bin/false"), real.version)


def test_a_manifest_that_is_garbage_is_named(tmp_path: Path, make_prefix: MakePrefix) -> None:
    prefix = make_prefix(tmp_path / "g")
    (prefix / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(GanetiNotFound, match=rf"{MANIFEST} cannot be read"):
        installation_at(prefix, "test")


def test_the_newest_fetched_one_is_taken_and_a_version_chooses(
    empty_cache: Path, make_prefix: MakePrefix
) -> None:
    make_prefix(empty_cache / "a", version="3.0.9")
    make_prefix(empty_cache / "b", version="3.0.10")
    make_prefix(empty_cache / "c", version="3.0.10~rc1")
    assert find_installation(settings()).version == "3.0.10"
    assert find_installation(settings("3.0.9")).version == "3.0.9"
    assert find_installation(settings("3.0.9"), "3.0.10~rc1").version == "3.0.10~rc1"
    with pytest.raises(GanetiNotFound) as caught:
        find_installation(settings("3.1"))
    assert "is Ganeti 3.0.9" in caught.value.seen
    assert "/ (system packages)" in caught.value.seen
    assert "ganeti-vcluster install 3.1" in caught.value.cure


def test_a_broken_one_is_passed_over_unless_asked_for(
    empty_cache: Path, make_prefix: MakePrefix, real: GanetiInstallation
) -> None:
    make_prefix(empty_cache / "good", version="3.0.1")
    broken = make_prefix(empty_cache / "broken", version="3.0.2")
    (broken / "usr/share/ganeti" / real.series / "gnt-node").unlink()
    assert find_installation(settings()).version == "3.0.1"
    with pytest.raises(GanetiNotFound, match="gnt-node is missing"):
        find_installation(settings(broken))
    found = {one.where: one for one in all_installations(settings())}
    assert found[broken].version == "3.0.2"
    assert "gnt-node is missing" in found[broken].why


def test_what_was_never_finished_is_not_taken(empty_cache: Path, make_prefix: MakePrefix) -> None:
    half = make_prefix(empty_cache / ".g.staging-1", version="3.0.99")
    (half / MANIFEST).unlink()
    assert half not in {one.where for one in all_installations(settings())}


def test_a_version_that_a_spec_wants_may_be_in_the_folder_of_the_option(
    empty_cache: Path, tmp_path: Path, make_prefix: MakePrefix
) -> None:
    make_prefix(empty_cache / "a", version="3.0.50")
    prefix = make_prefix(tmp_path / "mine", version="3.0.50")
    assert find_installation(settings(prefix), "3.0.50").prefix == prefix


def test_a_fetched_one_lends_its_tools_and_its_python(
    empty_cache: Path,
    tmp_path: Path,
    make_prefix: MakePrefix,
    real: GanetiInstallation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lender = make_prefix(empty_cache / "a")
    prefix = make_prefix(tmp_path / "built", fetched=False)
    (prefix / "usr/lib/libnss_wrapper.so").unlink()
    (lender / "usr/lib/libnss_wrapper.so").unlink()
    own = lender / "usr/lib/libnss_wrapper.so"
    own.write_bytes(real.nss_wrapper.read_bytes())
    script = prefix / "usr/share/ganeti" / real.series / "gnt-cluster"
    script.write_text("#!/usr/bin/no-python\n", encoding="utf-8")
    monkeypatch.setattr(
        "pytest_ganeti_vcluster.ganeti.installation.SYSTEM_PYTHON", Path("/usr/bin/no-python3")
    )
    found = find_installation(settings(prefix))
    assert found.nss_wrapper == own
    assert found.python == real.python


def test_no_folder_no_ganeti(tmp_path: Path) -> None:
    with pytest.raises(GanetiNotFound, match="is not a folder"):
        find_installation(settings(tmp_path / "none"))
    with pytest.raises(GanetiNotFound, match=r"no .*/usr/share/ganeti/VERSION"):
        find_installation(settings(tmp_path))


def test_a_device_in_place_of_a_library_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/libnss_wrapper.so").symlink_to(os.devnull)
    assert find_nss_wrapper([tmp_path]) == find_nss_wrapper()


def test_a_path_that_may_not_be_entered_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0)
    monkeypatch.setenv("PATH", f"{closed}/in:relative:/usr/bin")
    try:
        assert find_program("sh") == Path("/usr/bin/sh")
    finally:
        closed.chmod(0o700)


def test_versions_are_ordered_and_matched() -> None:
    ordered = ["2.16.2", "3.0.2", "3.0.10", "3.1.0~rc1", "3.1.0~rc2", "3.1.0", "3.1.1", "3.10.0"]
    assert sorted([*ordered[4:], *ordered[:4]], key=version_key) == ordered
    assert version_matches("3.0.2", "3.0")
    assert version_matches("3.1.0~rc2", "3.1.0")
    assert not version_matches("3.10.0", "3.1")
