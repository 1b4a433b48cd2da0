"""Several Ganetis in one run: which test runs on which, seen where no cluster has to be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state

_TESTS = """
    import pytest

    def test_plain(vcluster): pass

    def test_session(vcluster_session): pass

    def test_factory(vcluster_factory): pass

    @pytest.fixture
    def mine(vcluster):
        return vcluster

    def test_through_a_fixture(mine): pass

    @pytest.mark.vcluster(ganeti="3.1")
    def test_named(vcluster): pass

    @pytest.mark.vcluster(nodes=1)
    def test_marked(vcluster): pass

    def test_without(): pass
"""
_USING = ("plain", "session", "factory", "through_a_fixture", "marked")


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VCLUSTER_GANETI", raising=False)


def collected(pytester: pytest.Pytester, *args: str) -> list[str]:
    """Name the tests that would run, in their order."""
    lines = pytester.runpytest_inprocess("--collect-only", "-q", *args).outlines
    return [line.partition("::")[2] for line in lines if "::" in line]


def test_each_test_that_uses_a_cluster_runs_on_each(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(_TESTS)
    names = collected(pytester, "--vcluster-ganeti=3.0", "--vcluster-ganeti=/opt/trees/master/")
    for test in _USING:
        assert {f"test_{test}[ganeti-3.0]", f"test_{test}[ganeti-master]"} <= {*names}
    assert sorted(set(names) - {n for n in names if "[" in n}) == ["test_named", "test_without"]
    assert len(names) == 2 * len(_USING) + 2
    # What runs on the same stands together: clusters need not be kept of all of them at once.
    versions = [name.partition("[")[2] for name in names if "[" in name]
    assert versions == sorted(versions, key=["ganeti-3.0]", "ganeti-master]"].index)


def test_with_one_nothing_is_parametrized(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(_TESTS)
    for args in ([], ["--vcluster-ganeti=3.0"], ["--vcluster-ganeti=3.0,3.0"]):
        assert not [name for name in collected(pytester, *args) if "[" in name]


@pytest.mark.parametrize("way", ["flags", "comma", "ini", "environment"])
def test_they_can_be_given_in_every_way(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    args = []
    if way == "flags":
        args = ["--vcluster-ganeti=3.0", "--vcluster-ganeti", "3.1"]
    elif way == "comma":
        args = ["--vcluster-ganeti=3.0, 3.1"]
    elif way == "ini":
        pytester.makeini("[pytest]\nvcluster_ganeti =\n    3.0\n    3.1\n")
    else:
        monkeypatch.setenv("VCLUSTER_GANETI", "3.0,3.1")
    settings: Settings = pytester.parseconfigure(*args).stash[state.SETTINGS]
    assert settings.ganeti == ("3.0", "3.1")


def test_parameters_that_name_theirs_run_once_each(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [
            pytest.param(1, marks=pytest.mark.vcluster(ganeti="3.0")),
            pytest.param(2, marks=pytest.mark.vcluster(ganeti="3.1")),
            pytest.param(3, marks=pytest.mark.vcluster(ganeti="2.16")),
            4,
        ])
        def test_it(vcluster, number): pass
        """
    )
    names = collected(pytester, "--vcluster-ganeti=3.0,3.1")
    assert names == [
        "test_it[ganeti-3.0-1]",
        "test_it[ganeti-3.0-3]",
        "test_it[ganeti-3.0-4]",
        "test_it[ganeti-3.1-2]",
        "test_it[ganeti-3.1-4]",
    ]


def test_the_specs_say_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_ganeti_vcluster.testing import collection, state

        @pytest.fixture
        def vcluster(_vcluster_ganeti, request):
            return collection.spec_of(request.node, request.config.stash[state.SETTINGS])

        def test_plain(vcluster, request):
            assert vcluster.ganeti == request.node.name.partition("-")[2].rstrip("]")
            assert len(vcluster.nodes) == 3

        @pytest.mark.vcluster(ganeti="2.16")
        def test_named(vcluster, request):
            assert vcluster.ganeti == "2.16"
            assert request.node.name == "test_named"
        """
    )
    pytester.runpytest_inprocess("--vcluster-ganeti=3.0,3.1").assert_outcomes(passed=3)


def test_the_header_names_all_that_tests_want(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(_TESTS)
    result = pytester.runpytest_inprocess(
        "--setup-plan", "--vcluster-ganeti=2.15", f"--vcluster-ganeti={tmp_path}", "-k", "plain or named"
    )
    lines = [line for line in result.outlines if line.startswith("vcluster: ")]
    for line, text in zip(
        lines, ("Ganeti 2.15", f"also no usable Ganeti, asked for as '{tmp_path}'", "also ")
    ):
        assert text in line
    assert "Ganeti 3.1" in lines[2]
    assert ["; engine " in line for line in lines] == [True, False, False]
    # Not what no test wants: the option alone says nothing of those that name theirs.
    result = pytester.runpytest_inprocess("--setup-plan", "--vcluster-ganeti=2.15", "-k", "named")
    [line] = [line for line in result.outlines if line.startswith("vcluster: ")]
    assert "2.15" not in line
