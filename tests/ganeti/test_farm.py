"""The farm runs an installation that stays as it was."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import AdaptationFailed, GanetiNotFound
from pytest_ganeti_vcluster.ganeti.farm import Farm, build_farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.settings import Settings


@pytest.fixture(scope="module")
def installation() -> GanetiInstallation:
    try:
        return find_installation(Settings.read())
    except GanetiNotFound as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def farm(installation: GanetiInstallation, tmp_path: Path) -> Farm:
    return build_farm(installation, tmp_path / "farm", ["confd", "mond"])


def _tree(folder: Path) -> dict[str, tuple[int, str]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = (stat.S_IMODE(path.stat().st_mode), digest)
    return found


def test_making_one_alters_nothing_of_the_installation(
    installation: GanetiInstallation, tmp_path: Path
) -> None:
    folders = (installation.share, installation.pkglib)
    before = [_tree(folder) for folder in folders]
    build_farm(installation, tmp_path / "farm", [])
    assert [_tree(folder) for folder in folders] == before


def test_it_is_small(farm: Farm) -> None:
    files = [path for path in farm.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    ours = [path for path in files if path.parent.name != "curl"]
    assert sum(path.stat().st_size for path in ours) < 600_000
    # With the copy of libcurl.
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_every_program_of_ganeti_is_in_it(farm: Farm) -> None:
    names = {path.name for path in farm.sbin.iterdir()}
    daemons = {
        "ganeti-noded",
        "ganeti-luxid",
        "ganeti-wconfd",
        "ganeti-confd",
        "ganeti-rapi",
        "ganeti-watcher",
    }
    assert daemons | {"gnt-cluster", "gnt-instance", "gnt-node", "gnt-job", "hbal", "htools"} <= names
    broken = [str(path) for path in farm.folder.rglob("*") if path.is_symlink() and not path.exists()]
    assert broken == []


def test_daemon_util_starts_what_the_spec_says_from_the_farm(farm: Farm) -> None:
    def ask(*argv: str) -> list[str]:
        environment = {**os.environ, "PATH": farm.path}
        return subprocess.check_output([farm.daemon_util, *argv], text=True, env=environment).splitlines()

    assert ask("list-start-daemons") == [
        "ganeti-noded",
        "ganeti-confd",
        "ganeti-wconfd",
        "ganeti-rapi",
        "ganeti-luxid",
        "ganeti-mond",
    ]
    assert ask("daemon-executable", "ganeti-noded") == [str(farm.sbin / "ganeti-noded")]
    assert "/usr/sbin/service" not in "\n".join(ask("reload-ssh-keys"))


@pytest.mark.parametrize("name", ["reboot", "shutdown", "systemctl", "service", "poweroff"])
def test_what_reaches_the_machine_is_refused(farm: Farm, name: str) -> None:
    shim = farm.folder / "shims" / name
    assert farm.path.startswith(str(shim.parent))
    result = subprocess.run([shim, "-n", "-f"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "must not reach the machine" in result.stderr


def test_a_daemon_util_that_edits_do_not_fit_is_named(
    installation: GanetiInstallation, tmp_path: Path
) -> None:
    import attrs

    pkglib = tmp_path / "pkglib"
    for folder in ("", "tools", "iallocators"):
        (pkglib / folder).mkdir(parents=True)
    text = (installation.pkglib / "daemon-util").read_text()
    (pkglib / "daemon-util").write_text(text.replace("use_systemctl", "ask_systemd"))
    strange = attrs.evolve(installation, pkglib=pkglib)
    with pytest.raises(AdaptationFailed, match="'systemd' of daemon-util does not fit"):
        build_farm(strange, tmp_path / "farm", [])
