"""Every test has a cluster as just built; few are alive at a time; none outlives the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.conftest import InnerRun

_NOTHING_LEFT = Callable[[], None]


@pytest.mark.parametrize("prepare", ["on", "off"])
def test_every_test_has_a_cluster_as_just_built(
    inner_run: InnerRun, nothing_left: _NOTHING_LEFT, prepare: str
) -> None:
    result = inner_run(
        """
        import pytest

        pytestmark = pytest.mark.vcluster(nodes=1)
        roots, first = [], []

        @pytest.fixture
        def root(vcluster):
            roots.append(vcluster.root)
            return vcluster.root

        def test_looks(root, vcluster):
            vcluster.run("gnt-node", "list")
            first.extend(job.id for job in vcluster.jobs())

        def test_changes_it(root, vcluster):
            assert [job.id for job in vcluster.jobs()] == first
            vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01}).wait(30)

        def test_finds_it_unchanged_and_closes_it(root, vcluster):
            assert [job.id for job in vcluster.jobs()] == first
            vcluster.close()

        def test_has_another_one(root, vcluster):
            assert root != roots[2]
            assert not roots[2].exists()
            assert [job.id for job in vcluster.jobs()] == first

        def test_looking_cost_nothing(root):
            # One that is put back to how it was, or a second one that was made meanwhile: but no third.
            assert len({root for root in roots if root != roots[2]}) <= 2
        """,
        f"--vcluster-prepare={prepare}",
    )
    result.assert_outcomes(passed=5)
    nothing_left()


def test_two_specs_may_alternate_and_the_third_pushes_the_oldest_out(
    inner_run: InnerRun, nothing_left: _NOTHING_LEFT
) -> None:
    result = inner_run(
        """
        import pytest

        a, b, c = (pytest.mark.vcluster(nodes=1, name=name) for name in "abc")
        roots = {}

        def first(vcluster):
            roots[vcluster.name] = vcluster.root

        def again(vcluster):
            assert vcluster.root == roots[vcluster.name]

        @a
        def test_a(vcluster): first(vcluster)
        @b
        def test_b(vcluster): first(vcluster)
        @a
        def test_a_again(vcluster): again(vcluster)
        @b
        def test_b_again(vcluster): again(vcluster)
        @c
        def test_c(vcluster):
            first(vcluster)
            assert not roots["a.vc"].exists()
            assert roots["b.vc"].exists()
        """,
        "--vcluster-max-clusters=2",
    )
    result.assert_outcomes(passed=5)
    nothing_left()


def test_session_and_factory_clusters(inner_run: InnerRun, nothing_left: _NOTHING_LEFT) -> None:
    result = inner_run(
        """
        import pytest
        from pytest_ganeti_vcluster.errors import SpecError

        roots = []

        @pytest.fixture(scope="module")
        def own(vcluster_factory):
            return vcluster_factory(nodes=1, name="own")

        def test_session(vcluster_session):
            roots.append(vcluster_session.root)
            vcluster_session.run("gnt-cluster", "add-tags", "seen")

        def test_session_is_never_reset(vcluster_session, own):
            assert vcluster_session.root == roots[0]
            assert vcluster_session.run("gnt-cluster", "list-tags").lines == ["seen"]
            roots.append(own.root)

        def test_factory(own, vcluster_factory):
            assert own.name == "own.vc"
            assert own.root == roots[1]
            with pytest.raises(SpecError, match="there is no 'nods'"):
                vcluster_factory(nods=1)

        def test_closed_early(vcluster_factory):
            with vcluster_factory(nodes=1, name="brief") as brief:
                assert brief.run("gnt-cluster", "getmaster").lines == ["node1.vc"]
            assert not brief.root.exists()
        """,
        "--vcluster-nodes=1",
    )
    result.assert_outcomes(passed=4)
    nothing_left()


def test_two_workers_have_clusters_of_their_own(inner_run: InnerRun, nothing_left: _NOTHING_LEFT) -> None:
    result = inner_run(
        """
        import pathlib
        import pytest

        pytestmark = pytest.mark.vcluster(nodes=1)
        HERE = pathlib.Path(__file__).parent

        @pytest.mark.parametrize("number", range(4))
        def test_cluster(vcluster, worker_id, number):
            (HERE / f"{worker_id}.{vcluster.root.name}.{vcluster.ip}").touch()
            assert vcluster.run("gnt-node", "list", "--no-headers", "-o", "name").lines == ["node1.vc"]

        def test_each_worker_has_its_own(): pass
        """,
        "-n2",
        "--dist=load",
    )
    result.assert_outcomes(passed=5)
    # Workers cannot show a header; the summary tells it once.
    assert len([line for line in result.outlines if line.startswith("vcluster: Ganeti ")]) == 1
    nothing_left()
