"""A libcurl that does not read the machine's certificates: its bytes, and where it is found."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.ganeti.curl_library import (
    LIBRARY,
    find_library,
    make_curl_library,
    without_certificate_folder,
)
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation

_FOLDER = b"\0/etc/ssl/certs\0"


def _loaded(program: Path, environment: dict[str, str]) -> str:
    """What the dynamic loader loads for a program."""
    trace = {**os.environ, **environment, "LD_TRACE_LOADED_OBJECTS": "1"}
    return subprocess.check_output([program], text=True, env=trace)


def test_the_folder_s_name_is_emptied_and_nothing_else() -> None:
    library = b"\x7fELF...\0/etc/ssl/certs/ca-certificates.crt" + _FOLDER + b"/etc/ssl\0rest"
    changed = without_certificate_folder(library)
    assert changed == library.replace(_FOLDER, b"\0\0etc/ssl/certs\0")


@pytest.mark.parametrize(
    ("library", "times"),
    [
        (b"\x7fELF with OpenSSL\0/etc/pki/tls/certs\0", 0),
        (b"\x7fELF\0/etc/ssl/certs/ca-certificates.crt\0", 0),
        (b"\x7fELF" + _FOLDER + b"x" + _FOLDER, 2),
    ],
)
def test_a_library_of_another_make_is_left_alone(library: bytes, times: int) -> None:
    with pytest.raises(ValueError, match=f"/etc/ssl/certs {times} times"):
        without_certificate_folder(library)


def test_that_of_the_installation_is_copied(real: GanetiInstallation, tmp_path: Path) -> None:
    luxid = real.sbin / "ganeti-luxid"
    found = find_library(luxid, real.library_path)
    if found is None:
        pytest.skip(f"there is no {LIBRARY} here")
    made = make_curl_library(luxid, real.library_path, tmp_path / "curl")
    assert made.folder == tmp_path / "curl"
    assert str(found) in made.told
    original, copy = found.read_bytes(), (tmp_path / "curl" / LIBRARY).read_bytes()
    assert len(copy) == len(original)
    assert [a for a, b in zip(original, copy) if a != b] == [ord("/")]
    # The loader takes it, for the daemons and for whatever else asks for it by this name.
    assert find_library(luxid, [tmp_path / "curl"]) == tmp_path / "curl" / LIBRARY


def test_the_nearer_library_is_the_one_that_is_copied(real: GanetiInstallation, tmp_path: Path) -> None:
    luxid = real.sbin / "ganeti-luxid"
    found = find_library(luxid, real.library_path)
    if found is None:
        pytest.skip(f"there is no {LIBRARY} here")
    nearer = tmp_path / "nearer"
    nearer.mkdir()
    (nearer / LIBRARY).symlink_to(found)
    assert find_library(luxid, [nearer, *real.library_path]) == nearer / LIBRARY


def test_one_that_does_not_fit_is_used_as_it_is_and_told(real: GanetiInstallation, tmp_path: Path) -> None:
    luxid = real.sbin / "ganeti-luxid"
    found = find_library(luxid, real.library_path)
    if found is None:
        pytest.skip(f"there is no {LIBRARY} here")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / LIBRARY).write_bytes(found.read_bytes().replace(_FOLDER, b"\0/etc/pki/certs\0"[:16]))
    made = make_curl_library(luxid, [strange], tmp_path / "curl")
    assert made.folder is None
    assert made.slow
    assert (
        made.told
        == f"{strange / LIBRARY} is used as it is: it has /etc/ssl/certs 0 times, where once was expected"
    )
    assert not (tmp_path / "curl").exists()


def test_no_program_no_library(tmp_path: Path) -> None:
    made = make_curl_library(tmp_path / "ganeti-luxid", [], tmp_path / "curl")
    assert (made.folder, made.slow, made.told) == (None, False, f"no {LIBRARY} here, nothing to do")


def test_a_node_s_processes_load_the_copy_first(real: GanetiInstallation, tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    installation = attrs.evolve(real, library_path=(*real.library_path, libraries))
    farm = build_farm(installation, tmp_path / "farm", [])
    if farm.curl.folder is None:
        pytest.skip(farm.curl.told)
    variables = farm.environment()
    assert variables["LD_LIBRARY_PATH"].split(":") == [
        str(farm.folder / "curl"),
        *map(str, real.library_path),
        str(libraries),
    ]
    assert f"{LIBRARY} => {farm.folder}/curl/{LIBRARY}" in _loaded(farm.sbin / "ganeti-luxid", variables)
    assert json.loads((farm.folder / "farm.json").read_text())["curl"] == farm.curl.told


def test_it_can_be_switched_off(real: GanetiInstallation, tmp_path: Path) -> None:
    farm = build_farm(real, tmp_path / "farm", [], tls_fix=False)
    assert farm.curl.folder is None
    assert not (farm.folder / "curl").exists()
    assert farm.environment().get("LD_LIBRARY_PATH", "") == ":".join(map(str, real.library_path))
