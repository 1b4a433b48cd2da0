"""What is written down of a cluster is read back the same, or refused with a reason."""

from __future__ import annotations

import json
import stat
from ipaddress import IPv4Network
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.running.description import (
    Description,
    settings_from_json,
    settings_to_json,
)
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.ganeti.bootstrap import Stage
from pytest_ganeti_vcluster.ganeti.curl_library import CurlLibrary
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess
from pytest_ganeti_vcluster.ganeti.unmodified import UnmodifiedGaneti
from pytest_ganeti_vcluster.settings import OPTIONS, Settings


@pytest.fixture(scope="module")
def installation() -> GanetiInstallation:
    return find_installation(Settings.read())


@pytest.fixture
def description(installation: GanetiInstallation) -> Description:
    fetched = attrs.evolve(
        installation,
        prefix=Path("/opt/a b"),
        openssl=None,
        sshd_helpers=("One /x", "Two /y"),
        library_path=(Path("/opt/lib"), Path("/opt/lib2")),
    )
    return Description(
        spec=ClusterSpec(nodes=2, needs={"partition"}),
        settings=Settings(nodes=5, image_cache=None, subnet=IPv4Network("127.80.0.0/16")),
        installation=fetched,
        farm=Farm(Path("/r/farm"), fetched, ("ganeti-noded",), CurlLibrary(Path("/r/farm/curl"), "emptied")),
        engine="loopback",
        cluster_name="cluster.vc",
        blocks=(IPv4Network("127.80.1.0/24"), IPv4Network("127.80.2.0/24")),
        access=RapiAccess("vcluster", "secret", Path("/r/engine/rapi-ca.pem")),
        stages=(Stage("keeper", 0.25),),
    )


def test_a_description_is_read_as_it_was_written(description: Description, tmp_path: Path) -> None:
    description.write(tmp_path)
    assert Description.read(tmp_path) == description
    assert stat.S_IMODE((tmp_path / "cluster.json").stat().st_mode) == 0o600


def test_an_installation_as_it_is_found_is_read_back(
    description: Description, installation: GanetiInstallation, tmp_path: Path
) -> None:
    attrs.evolve(description, installation=installation).write(tmp_path)
    assert Description.read(tmp_path).installation == installation


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings.read(environment={}),
        Settings(
            nodes=7,
            max_nodes=9,
            ganeti=("3.1", "/opt/ganeti"),
            missing="skip",
            engine="loopback",
            keep="failed",
            artifacts=Path("/a b"),
            timeout=1.5,
            image_cache=Path("/images"),
            image_limit=7,
            fork_server=False,
            tls_fix=False,
            max_clusters=2,
            order="given",
            prepare=False,
            share="run",
            subnet=IPv4Network("127.80.0.0/16"),
            root=Path("/tmp/x"),
        ),
    ],
)
def test_settings_are_the_same_after_json(settings: Settings) -> None:
    assert settings_from_json(json.loads(json.dumps(settings_to_json(settings)))) == settings


def test_every_option_is_written_down() -> None:
    assert {option.field for option in OPTIONS} == {field.name for field in attrs.fields(Settings)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": 0}, "another version of pytest-ganeti-vcluster"),
        ({"format": None}, "another version of pytest-ganeti-vcluster"),
        ({"spec": {"nodes": []}}, "is not what it should be"),
        ({"blocks": ["127.80.0.1/24"]}, "is not what it should be"),
        ({"installation": {"nosuch": "x", "sshd_helpers": []}}, "is not what it should be"),
    ],
)
def test_what_another_version_wrote_is_refused(
    description: Description, tmp_path: Path, change: dict[str, object], match: str
) -> None:
    description.write(tmp_path)
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(KeeperError, match=match):
        Description.read(tmp_path)


def test_a_folder_without_a_description_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeeperError, match="no cluster in it that is ready") as caught:
        Description.read(tmp_path)
    assert "ganeti-vcluster gc" in caught.value.cure


def test_of_a_cluster_of_machines_ganeti_is_read_back_unmodified(
    description: Description, tmp_path: Path
) -> None:
    unmodified = UnmodifiedGaneti(tmp_path, description.installation, ("ganeti-noded", "ganeti-mond"))
    of_machines = attrs.evolve(description, engine="namespaces", farm=unmodified)
    of_machines.write(tmp_path)
    read = Description.read(tmp_path)
    assert read.farm == unmodified
    assert type(read.farm) is UnmodifiedGaneti
    assert not read.farm.is_adapted
    assert read.farm.optional_daemons(["confd"]) == ["confd", "mond"]
