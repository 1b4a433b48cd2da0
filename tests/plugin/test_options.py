"""The options: one table, three ways to give each, read once."""

from __future__ import annotations

import re

import pytest

from pytest_ganeti_vcluster.settings import OPTIONS, Option, Settings
from pytest_ganeti_vcluster.testing import state


def _settings(pytester: pytest.Pytester, *args: str) -> Settings:
    return pytester.parseconfigure(*args).stash[state.SETTINGS]


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def test_help_tells_every_option_its_default_and_its_valid_values(pytester: pytest.Pytester) -> None:
    text = re.sub(r"\s+", "", pytester.runpytest_inprocess("--help").stdout.str())
    for option in OPTIONS:
        for part in (
            option.flag,
            option.ini,
            option.variable,
            option.valid,
            option.default_text,
            option.help,
        ):
            assert re.sub(r"\s+", "", part) in text, (option.name, part)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_default(pytester: pytest.Pytester, option: Option) -> None:
    assert getattr(_settings(pytester), option.field) == option.default()


def test_a_flag_alone_takes_nothing_after_it_for_its_value(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure("--vcluster-check", "on")
    assert config.stash[state.SETTINGS].check
    assert config.args == ["on"]
    pytester.makeini("[pytest]\nvcluster_check = on\n")
    assert _settings(pytester).check


@pytest.mark.parametrize(
    ("flag", "ini", "variable", "expected"),
    [
        (None, None, None, 3),
        (None, None, "6", 6),
        (None, "5", "6", 5),
        ("4", "5", "6", 4),
        ("4", None, "6", 4),
        # Empty counts as not given where leaving out is not possible.
        (None, "", "6", 6),
        (None, None, "", 3),
    ],
)
def test_the_command_line_goes_before_the_ini_file_and_that_before_the_environment(  # noqa: PLR0917
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    flag: str | None,
    ini: str | None,
    variable: str | None,
    expected: int,
) -> None:
    if ini is not None:
        pytester.makeini(f"[pytest]\nvcluster_nodes = {ini}\n")
    if variable is not None:
        monkeypatch.setenv("VCLUSTER_NODES", variable)
    args = [] if flag is None else [f"--vcluster-nodes={flag}"]
    assert _settings(pytester, *args).nodes == expected


@pytest.mark.parametrize(
    ("option", "value", "valid"),
    [
        ("nodes", "0", "a whole number, 1 or more"),
        ("nodes", "x", "a whole number, 1 or more"),
        ("keep", "maybe", '"never", "failed" or "always"'),
        ("timeout", "-1", "seconds, more than 0"),
        ("subnet", "127.0.0.0/16", "a network of loopback addresses"),
        ("engine", "docker", '"auto", "loopback" or "namespaces"'),
    ],
)
@pytest.mark.parametrize("way", ["flag", "ini", "environment"])
def test_a_bad_value_is_a_usage_error_that_names_origin_value_and_valid_ones(  # noqa: PLR0917
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    option: str,
    value: str,
    valid: str,
) -> None:
    args = []
    if way == "flag":
        origin = f"--vcluster-{option}"
        args = [f"{origin}={value}"]
    elif way == "ini":
        origin = f"vcluster_{option}"
        pytester.makeini(f"[pytest]\n{origin} = {value}\n")
    else:
        origin = f"VCLUSTER_{option.upper()}"
        monkeypatch.setenv(origin, value)
    pytester.makepyfile("def test_never(): pass")
    result = pytester.runpytest_inprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    error = result.stderr.str()
    assert origin in error
    assert repr(value) in error
    assert valid in error


def test_xdist_workers_have_the_options_of_their_controller(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCLUSTER_TIMEOUT", "77")
    pytester.makeini("[pytest]\nvcluster_keep = failed\n")
    pytester.makepyfile(
        """
        from pytest_ganeti_vcluster.testing import state

        def test_options(request):
            settings = request.config.stash[state.SETTINGS]
            assert hasattr(request.config, "workerinput")
            assert (settings.nodes, settings.max_nodes) == (7, 9)
            assert (settings.keep, settings.timeout) == ("failed", 77.0)
        """
    )
    result = pytester.runpytest_subprocess("-n1", "--vcluster-nodes=7", "-o", "vcluster_max_nodes=9")
    result.assert_outcomes(passed=1)
