"""Clusters of different Ganetis side by side, in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.fetch import install
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.settings import Settings, cache_folder
from tests.trees import make_tree

#: Seconds that an inner run with clusters may take on a busy machine.
TIMEOUT = 600.0

_TESTS = """
    import pytest

    pytestmark = pytest.mark.vcluster(nodes=1)
    alive = []

    def look(cluster, version, daemons=None):
        daemons = f"Software version: {daemons or version}"
        # Ganeti's Python says the first, its daemons the second.
        assert cluster.run("gnt-cluster", "--version").stdout.split()[-1] == version
        assert daemons in cluster.run("gnt-cluster", "version").stdout
        assert cluster.ganeti.version == version
        assert cluster.verify() == []
        alive.append(cluster)
        assert all(one.root.is_dir() for one in alive)
"""


def run_both(pytester: pytest.Pytester, source: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-v", "--vcluster-max-clusters=2", *args, timeout=TIMEOUT
    )


@pytest.mark.slow
def test_a_tree_of_ones_own_beside_another_ganeti(pytester: pytest.Pytester, tmp_path: Path) -> None:
    found = find_installation(Settings.read())
    tree = make_tree(found, tmp_path / "tree", version=f"{found.series}.77")
    source = f"""{_TESTS}
    def test_it(vcluster, request):
        versions = {{"ganeti-{found.version}": "{found.version}", "ganeti-tree": "{found.series}.77"}}
        look(vcluster, versions[request.node.callspec.id], daemons="{found.version}")

    def test_both_were_there():
        assert len({{one.root for one in alive}}) == 2
    """
    result = run_both(pytester, source, f"--vcluster-ganeti={found.version}", f"--vcluster-ganeti={tree}")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            f"vcluster: Ganeti {found.version} (*; engine *",
            f"vcluster: also Ganeti {found.series}.77 (the folder asked for) in {tree}",
            f"*::test_it?ganeti-{found.version}? PASSED*",
            "*::test_it?ganeti-tree? PASSED*",
        ]
    )


def ganeti(version: str) -> GanetiInstallation:
    """Get a version: what this machine has, else one that is fetched for these tests and not found by others."""
    try:
        return find_installation(Settings.read(environment={}), version)
    except GanetiNotFound:
        return install(version, destination=cache_folder() / "for-tests" / f"ganeti-{version}")[0]


@pytest.mark.slow
def test_two_versions_in_one_run_one_test_on_each(pytester: pytest.Pytester) -> None:
    old, new = ganeti("3.0"), ganeti("3.1")
    source = f"""{_TESTS}
    @pytest.mark.vcluster(ganeti="{old.version}")
    def test_old(vcluster):
        look(vcluster, "{old.version}")

    @pytest.mark.vcluster(ganeti="{new.version}")
    def test_new(vcluster):
        look(vcluster, "{new.version}")

    def test_both_were_there():
        assert len({{one.root for one in alive}}) == 2
    """
    # Where they are, for what was fetched for these tests; markers go before the options.
    result = run_both(pytester, source, f"--vcluster-ganeti={old.prefix},{new.prefix}")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [f"vcluster: Ganeti {old.version} *; engine *", f"vcluster: also Ganeti {new.version} *"]
    )


@pytest.mark.slow
def test_every_test_on_both(pytester: pytest.Pytester) -> None:
    old, new = ganeti("3.0"), ganeti("3.1")
    source = f"""{_TESTS}
    @pytest.fixture(scope="session")
    def other(vcluster_factory):
        with vcluster_factory(nodes=1) as cluster:
            yield cluster

    def test_own(vcluster, _vcluster_ganeti):
        look(vcluster, {{"{old.prefix}": "{old.version}", "{new.prefix}": "{new.version}"}}[_vcluster_ganeti])

    def test_session(vcluster_session, _vcluster_ganeti, other):
        assert str(vcluster_session.ganeti.prefix) == _vcluster_ganeti == str(other.ganeti.prefix)
    """
    result = run_both(
        pytester,
        source,
        "--vcluster-nodes=1",
        f"--vcluster-ganeti={old.prefix}",
        f"--vcluster-ganeti={new.prefix}",
    )
    result.assert_outcomes(passed=4)
