"""The table of options: where values come from, and which are refused."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import OPTIONS, Settings, parse_option


def test_every_option_is_a_field_and_every_field_an_option() -> None:
    assert {option.field for option in OPTIONS} == {field.name for field in attrs.fields(Settings)}


def test_flag_goes_before_ini_before_environment_before_default() -> None:
    environment = {"VCLUSTER_NODES": "4"}
    assert Settings.read({"nodes": "2"}, {"nodes": "3"}, environment).nodes == 2
    assert Settings.read({"nodes": None}, {"nodes": "3"}, environment).nodes == 3
    assert Settings.read({}, {}, environment).nodes == 4
    assert Settings.read({}, {}, {}).nodes == 3


def test_a_flag_is_named_as_it_was_given() -> None:
    with pytest.raises(SpecError, match=r"^--vcluster-nodes: 'x'"):
        Settings.read({"nodes": "x"}, {}, {})
    with pytest.raises(SpecError, match=r"^--nodes: 'x'"):
        Settings.read({"nodes": "x"}, {}, {}, prefix="--")


def test_an_empty_variable_counts_as_not_given() -> None:
    assert Settings.read(environment={"VCLUSTER_NODES": ""}).nodes == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nodes", "0"),
        ("nodes", "many"),
        ("max-nodes", "-1"),
        ("engine", "docker"),
        ("keep", "sometimes"),
        ("missing", "maybe"),
        ("timeout", "0"),
        ("timeout", "inf"),
        ("timeout", "nan"),
        ("subnet", "10.0.0.0/8"),
        ("subnet", "127.0.0.0/16"),
        ("subnet", "127.64.0.0/25"),
        ("subnet", "127.64.0.1/10"),
        ("ganeti", " "),
        ("root", ""),
    ],
)
def test_a_bad_value_is_named_with_its_origin_and_the_valid_ones(name: str, text: str) -> None:
    option = next(option for option in OPTIONS if option.name == name)
    with pytest.raises(SpecError) as caught:
        parse_option(option, text, option.flag)
    assert option.flag in str(caught.value)
    assert repr(text) in str(caught.value)
    assert option.valid in str(caught.value)


def test_good_values_are_read() -> None:
    settings = Settings.read(
        environment={
            "VCLUSTER_SUBNET": "127.80.0.0/16",
            "VCLUSTER_TIMEOUT": "12.5",
            "VCLUSTER_IMAGE_CACHE": "off",
            "VCLUSTER_ROOT": "/tmp/x",
            "VCLUSTER_KEEP": "failed",
        }
    )
    assert settings.subnet == ipaddress.IPv4Network("127.80.0.0/16")
    assert settings.timeout == 12.5
    assert settings.image_cache is None
    assert settings.root == Path("/tmp/x")
    assert settings.keep == "failed"
