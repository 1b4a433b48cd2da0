"""The marker: checked at collection, inherited, and what cannot run here is skipped with the reason."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.engines import choice
from pytest_ganeti_vcluster.engines.namespaces.probe import Step, Trial
from pytest_ganeti_vcluster.engines.namespaces.trial import NEEDED, OPTIONAL
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import collection

_RAN = "import pathlib; pathlib.Path('ran').touch()"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("nods=3", ["'nods'", "did you mean 'nodes'?", "disk_templates", "init_options"]),
        ("nodes=0", ["nodes=0", "a whole number from 1 to"]),
        ("nodes='x'", ["nodes='x'", "a whole number from 1 to"]),
        ("nodes=True", ["nodes=True", "a whole number from 1 to"]),
        ("5", ["keywords only, not 5", "nodes=3"]),
        ("disk_templates=['drbd']", ["'drbd'", "'diskless'", "'file'"]),
        ("daemons=['nodedd']", ["'nodedd'", "'confd'", "'mond'"]),
        ("engine='docker'", ["'docker'", "'loopback'", "'namespaces'"]),
    ],
)
@pytest.mark.parametrize("fixture", ["vcluster", ""])
def test_an_impossible_marker_stops_the_run_before_anything_starts(
    pytester: pytest.Pytester, arguments: str, expected: list[str], fixture: str
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        def test_first():
            {_RAN}

        @pytest.mark.vcluster({arguments})
        def test_bad({fixture}):
            {_RAN}
        """
    )
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    error = result.stderr.str()
    for part in ["::test_bad: ", *expected]:
        assert part in error
    assert not (pytester.path / "ran").exists()


def test_all_impossible_markers_are_named_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(nodes=0)
        def test_one(): pass

        @pytest.mark.vcluster(size=1)
        def test_two(): pass
        """
    )
    error = pytester.runpytest_inprocess().stderr.str()
    assert "::test_one: nodes=0" in error
    assert "::test_two: there is no 'size'" in error


def test_a_test_that_was_not_chosen_is_not_judged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(nodes=0)
        def test_bad(): pass

        def test_good(): pass
        """
    )
    pytester.runpytest_inprocess("-k", "good").assert_outcomes(passed=1, deselected=1)


def test_with_xdist_an_impossible_marker_is_an_error_and_nothing_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        def test_first():
            {_RAN}

        @pytest.mark.vcluster(nodes=0)
        def test_bad(): pass
        """
    )
    result = pytester.runpytest_subprocess("-n2", timeout=60.0)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*::test_bad: nodes=0 is not possible*", "*1 error*"])
    result.stdout.no_fnmatch_line("*crashed*")
    assert not (pytester.path / "ran").exists()


def test_the_marker_is_registered_and_may_stand_without_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(nodes=2)
        def test_marked(): pass
        """
    )
    pytester.runpytest_inprocess("--strict-markers").assert_outcomes(passed=1)
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.vcluster(nodes=3, ...): *"])


def test_markers_are_inherited_and_the_closest_that_gives_a_keyword_wins(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_ganeti_vcluster.testing import state
        from pytest_ganeti_vcluster.testing.collection import spec_of

        pytestmark = pytest.mark.vcluster(nodes=5, name="outer")

        @pytest.fixture
        def spec(request):
            return spec_of(request.node, request.config.stash[state.SETTINGS])

        @pytest.mark.vcluster(daemons=["mond"])
        class TestClass:
            @pytest.mark.vcluster(nodes=2)
            def test_function(self, spec):
                assert (len(spec.nodes), spec.daemons, spec.name) == (2, ("mond",), "outer")

            def test_class(self, spec):
                assert (len(spec.nodes), spec.daemons, spec.name) == (5, ("mond",), "outer")

        def test_module(spec):
            assert (len(spec.nodes), spec.daemons, spec.name) == (5, ("confd",), "outer")
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_a_spec_has_the_default_number_of_nodes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pytest_ganeti_vcluster.testing import state
        from pytest_ganeti_vcluster.testing.collection import spec_of

        def test_spec(request):
            assert len(spec_of(request.node, request.config.stash[state.SETTINGS]).nodes) == 11
        """
    )
    pytester.runpytest_inprocess("--vcluster-nodes=11").assert_outcomes(passed=1)


def test_tests_that_ask_for_too_many_nodes_are_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(nodes=8)
        def test_large(vcluster): raise AssertionError

        def test_session(vcluster_session): raise AssertionError

        def test_factory(vcluster_factory):
            vcluster_factory(nodes=9)

        @pytest.mark.vcluster(nodes=8)
        def test_without(): pass
        """
    )
    result = pytester.runpytest_inprocess("-rs", "--vcluster-nodes=6", "--vcluster-max-nodes=5")
    result.assert_outcomes(skipped=3, passed=1)
    result.stdout.fnmatch_lines_random(
        [f"SKIPPED * asks for {count} nodes, and --vcluster-max-nodes allows 5" for count in (6, 8, 9)]
    )


def test_what_no_engine_here_can_do_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(needs={"time-travel"})
        def test_needs(vcluster): raise AssertionError
        """
    )
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *test_*.py:*time-travel*"])


def test_what_needs_an_installed_ganeti_is_skipped_with_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = Trial(tuple(map(Step, (*NEEDED, *OPTIONAL))))
    monkeypatch.setattr(choice, "try_namespaces", lambda: whole)
    settings = attrs.evolve(Settings.read(), engine="auto")
    installed = attrs.evolve(find_installation(settings), prefix=Path("/"))
    for prefix, reason in ((Path("/"), ""), (tmp_path, "could be laid over the machine's")):
        found = attrs.evolve(installed, prefix=prefix)
        monkeypatch.setattr(collection, "find_installation", lambda *_, found=found: found)
        told = collection.SkipReasons(settings).of_spec(ClusterSpec(needs={"partition"}))
        assert reason in told
        assert bool(told) == bool(reason)
        # Who needs nothing gets the other engine.
        assert not collection.SkipReasons(settings).of_spec(ClusterSpec())
