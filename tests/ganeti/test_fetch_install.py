"""Real installations from the distribution's archive: network, some 20 MB and half a minute each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import UserError
from pytest_ganeti_vcluster.ganeti.fetch import install
from pytest_ganeti_vcluster.ganeti.fetch.environment import choose_interpreter, modules_in
from pytest_ganeti_vcluster.ganeti.installation import (
    MANIFEST,
    GanetiInstallation,
    all_installations,
    find_installation,
    installations_folder,
)
from pytest_ganeti_vcluster.settings import Settings, cache_folder

slow = pytest.mark.slow
TIMEOUT = 300.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def check_runs(installation: GanetiInstallation) -> None:
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, installation.library_path))}
    for name in ("ganeti-luxid", "ganeti-wconfd", "ganeti-confd"):
        done = subprocess.run(
            [str(installation.sbin / name), "--version"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert installation.version in done.stdout
    code = (
        "import ganeti.bootstrap, ganeti.server.noded, ganeti.server.rapi, ganeti.client.gnt_cluster, ganeti.jqueue\n"
        "from ganeti import bootstrap, constants\n"
        "print(constants.RELEASE_VERSION, bootstrap.__cached__, bootstrap.InitCluster.__code__.co_filename, sep='\\n')"
    )
    done = subprocess.run(
        [str(installation.python), "-c", code],
        env={"PYTHONPATH": str(installation.share), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    version, compiled, source = done.stdout.splitlines()
    assert version == installation.version
    assert Path(compiled).is_file(), "Ganeti's Python was not compiled"
    assert source == str(installation.share / "ganeti/bootstrap.py"), "compiled for another folder"


@slow
def test_install_and_install_again_and_mend(cache: Path) -> None:
    installation, new = install()
    assert new
    assert installation.prefix.is_relative_to(cache)
    check_runs(installation)
    manifest = json.loads((installation.prefix / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["version"] == installation.version
    assert {"ganeti", "libnss-wrapper"} <= {package["name"] for package in manifest["packages"]}
    assert "pycurl" in modules_in(installation.prefix / "venv")
    assert find_installation(Settings.read(environment={})) == installation
    assert not (cache / "downloads").exists()

    # Again: nothing is done, be it asked for by its version.
    assert install() == (installation, False)
    assert install(installation.series) == (installation, False)

    # A broken one is no installation: it is made anew.
    (installation.sbin / "ganeti-luxid").unlink()
    mended, new = install()
    assert new
    assert mended == installation
    check_runs(mended)
    assert [path.name for path in installations_folder().iterdir()] == [installation.prefix.name]


@slow
def test_install_into_a_folder_of_ones_own(cache: Path, tmp_path: Path) -> None:
    installation, _new = install(destination=tmp_path / "own/ganeti")
    assert installation.prefix == tmp_path / "own/ganeti"
    check_runs(installation)
    found = find_installation(Settings.read(environment={"VCLUSTER_GANETI": str(installation.prefix)}))
    assert (found.prefix, found.python) == (installation.prefix, installation.python)


def test_a_folder_with_other_things_is_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_text("cat", encoding="utf-8")
    with pytest.raises(UserError, match="photos has something in it"):
        install(destination=tmp_path / "photos", force=True)
    assert (tmp_path / "photos/cat.jpg").read_text(encoding="utf-8") == "cat"


def wait_for_step(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} was not told; {seen}")


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("step", ["Unpacking", "Fetching Python modules", "Compiling"])
def test_an_interrupted_installation_leaves_nothing_that_is_taken_for_whole(
    cache: Path, step: str, number: signal.Signals
) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from pytest_ganeti_vcluster.cli import main; sys.exit(main())",
    ]
    with subprocess.Popen(
        [*command, "install"], stderr=subprocess.PIPE, text=True, start_new_session=True, env=dict(os.environ)
    ) as process:
        wait_for_step(process, step)
        os.killpg(process.pid, number)
        status = process.wait(timeout=TIMEOUT)
    assert status == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert not [one for one in all_installations(Settings()) if one.origin == "fetched packages"]
    assert not [path for path in installations_folder().iterdir() if (path / MANIFEST).exists()]
    if number == signal.SIGINT:
        assert list(installations_folder().iterdir()) == []
    assert list((cache / "downloads/apt/files").glob("*.deb")), "what was fetched is lost"

    installation, new = install()
    assert new
    check_runs(installation)
    assert [path.name for path in installations_folder().iterdir()] == [installation.prefix.name]


def test_the_interpreter_chosen_fits_the_pins() -> None:
    python = choose_interpreter()
    done = subprocess.run(
        [str(python), "-c", "import sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in {"(3, 9)", "(3, 10)", "(3, 11)", "(3, 12)", "(3, 13)"}
