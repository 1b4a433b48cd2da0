"""Which clusters the pool makes, resets and closes, when, and in which thread.

Its clusters are stand-ins here, whose making and cleaning the tests hold up and let fail; all else about the pool is
shown on real ones, in `test_sharing` and `test_successors`.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import BootFailed, KeeperError, ResetFailed, VClusterError
from pytest_ganeti_vcluster.testing.limits import Limit
from pytest_ganeti_vcluster.testing.pool import Pool, Tell

#: Seconds in which what is waited for has come, or never will.
_LONG = 30.0

A, B, C = (ClusterSpec(nodes=1, name=name) for name in "abc")


@attrs.define(eq=False)
class _Cluster:
    """`dirt`: what a test did to it."""

    spec: ClusterSpec
    alive: list[_Cluster]
    dirt: str = ""
    end: VClusterError | None = None
    on_close: Callable[[], None] = lambda: None

    def close(self) -> None:
        self.on_close()
        if self in self.alive:
            self.alive.remove(self)
            if self.end is not None:
                raise self.end


@attrs.define(eq=False)
class _Makes:
    """Makes and resets; `hold` stops it in the background until it is set."""

    alive: list[_Cluster] = attrs.field(factory=list)
    made: list[str] = attrs.field(factory=list)
    most_alive: int = 0
    failures: list[BaseException] = attrs.field(factory=list)
    hold: threading.Event = attrs.field(factory=threading.Event)
    begun: threading.Event = attrs.field(factory=threading.Event)
    at_once: int = 0
    checks_thread: bool = True

    def obtain(self, spec: ClusterSpec, tell: Tell, *, is_awaited: bool) -> tuple[Any, str]:
        self._begin("new", spec, tell, is_awaited=is_awaited)
        cluster = _Cluster(spec, self.alive)
        self.alive.append(cluster)
        self.most_alive = max(self.most_alive, len(self.alive))
        return cluster, "made"

    def reset(self, cluster: Any, *, is_awaited: bool) -> str:
        self._begin("reset", cluster.spec, lambda _line: None, is_awaited=is_awaited)
        if cluster not in self.alive:
            raise KeeperError("it was closed")
        did, cluster.dirt = cluster.dirt, ""
        return str(did)

    def _begin(self, what: str, spec: ClusterSpec, tell: Tell, *, is_awaited: bool) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        assert is_awaited == in_main or not self.checks_thread
        self.made.append(f"{what} {spec.name}{'' if in_main else ' ahead'}")
        tell("beginning")
        if not in_main:
            self.at_once += 1
            assert self.at_once == 1
            self.begun.set()
            assert self.hold.wait(_LONG)
            self.at_once -= 1
        tell("nearly there")
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def makes() -> _Makes:
    makes = _Makes()
    makes.hold.set()
    return makes


@pytest.fixture
def pool_of(makes: _Makes) -> Iterator[Callable[..., Pool]]:
    pools: list[Pool] = []

    def make(clusters: int = 3, *, prepare: bool = True) -> Pool:
        pools.append(Pool(makes, Limit(clusters, None, ""), prepare=prepare))
        return pools[-1]

    yield make
    makes.hold.set()
    for pool in pools:
        pool.close()
    assert makes.alive == []
    assert "vcluster-prepare" not in {thread.name for thread in threading.enumerate()}


def _test(pool: Pool, spec: ClusterSpec, following: ClusterSpec | None = None, dirt: str = "") -> Any:
    """Be a test: take a cluster, do something to it, give it back."""
    cluster: Any = pool.take(spec).cluster
    assert cluster.dirt == ""
    pool.expect(following)
    cluster.dirt = dirt
    assert pool.wait_idle(_LONG)
    pool.give_back()
    assert pool.wait_idle(_LONG)
    return cluster


def test_another_kind_is_made_while_a_test_runs(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    first = _test(pool, A, B)
    assert makes.made == ["new a", "new b ahead"]
    _test(pool, B, A)
    # What came back of A is looked at meanwhile, and is the same.
    assert _test(pool, A) is first
    assert makes.made == ["new a", "new b ahead", "reset a ahead"]


def test_a_kind_that_stays_clean_needs_one_cluster(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    assert len({_test(pool, A, A) for _ in range(4)}) == 1
    assert makes.made == ["new a"] + ["reset a ahead"] * 4


def test_a_kind_that_gets_dirty_has_a_second_one(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    used = [_test(pool, A, A, dirt="job") for _ in range(6)]
    assert len(set(used)) == 2
    assert makes.most_alive == 2
    # A dirty one is reset as soon as it is given back, for who comes next; once there is a second one, later.
    assert Counter(makes.made) == {"new a": 1, "reset a ahead": 5, "new a ahead": 1}
    assert all(before is not after for before, after in zip(used[2:], used[3:]))


def test_with_room_for_one_it_is_reset_before_the_next_test(
    makes: _Makes, pool_of: Callable[..., Pool]
) -> None:
    pool = pool_of(1)
    assert len({_test(pool, A, A, dirt="job") for _ in range(4)}) == 1
    _test(pool, B, A)
    _test(pool, A)
    assert makes.most_alive == 1


def test_nothing_is_done_ahead_if_so_asked(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of(prepare=False)
    _test(pool, A, A, dirt="job")
    _test(pool, A, B)
    _test(pool, B)
    assert makes.made == ["new a", "reset a", "new b"]


def test_the_least_recently_used_go_but_not_what_is_wanted_next(
    makes: _Makes, pool_of: Callable[..., Pool]
) -> None:
    pool = pool_of(2)
    first = _test(pool, A)
    second = _test(pool, B)
    _test(pool, C, A)
    assert second not in makes.alive or first not in makes.alive
    pool = pool_of(2)
    first, second = _test(pool, A), _test(pool, B, A)
    pool.expect(A)
    assert pool.wait_idle(_LONG)
    pool.take(C)
    assert first in makes.alive
    assert second not in makes.alive


def test_an_error_ahead_is_raised_where_the_cluster_is_taken_and_only_there(
    makes: _Makes, pool_of: Callable[..., Pool]
) -> None:
    pool = pool_of()
    pool.take(A)
    makes.failures.append(BootFailed("it did not come up"))
    pool.expect(B)
    assert pool.wait_idle(_LONG)
    pool.give_back()
    pool.expect(B)
    assert pool.wait_idle(_LONG)
    assert makes.made.count("new b ahead") == 1
    with pytest.raises(BootFailed, match="did not come up"):
        pool.take(B)
    assert pool.take(B).spec == B


def test_what_cannot_be_reset_is_replaced(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    for prepare in (True, False):
        pool = pool_of(prepare=prepare)
        lost = _test(pool, A)
        makes.failures.append(ResetFailed("no sshd"))
        pool.expect(A)
        assert pool.wait_idle(_LONG)
        kept = pool.take(A)
        assert lost not in makes.alive
        assert "could not be reset (no sshd)" in kept.history
        pool.close()


def test_one_that_the_test_closed_is_replaced(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    pool.take(A).cluster.close()
    pool.give_back()
    assert pool.take(A).cluster in makes.alive  # type: ignore[comparison-overlap]


def test_a_retired_one_goes_to_nobody(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    kept = pool.take(A)
    pool.give_back(retire="was retired after a failed test")
    assert makes.alive == []
    assert pool.take(A) is not kept


def test_a_test_waits_for_what_is_being_made_for_it(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    pool.take(A)
    makes.hold.clear()
    pool.expect(B)
    assert makes.begun.wait(_LONG)
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        makes.hold.set()

    pool.take(B, tell)
    assert told[0] == "beginning"
    assert makes.made == ["new a", "new b ahead"]


def test_a_test_does_not_wait_for_what_is_made_for_others(
    makes: _Makes, pool_of: Callable[..., Pool]
) -> None:
    pool = pool_of()
    pool.take(A)
    makes.hold.clear()
    pool.expect(B)
    assert makes.begun.wait(_LONG)
    pool.take(C)
    assert makes.made == ["new a", "new b ahead", "new c"]


def test_an_interrupted_reset_is_done_again(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of(prepare=False)
    _test(pool, A, dirt="job")
    makes.failures.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        pool.take(A)
    _test(pool, A)
    assert makes.made == ["new a", "reset a", "reset a"]


def test_closing_abandons_what_is_being_made(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    used: Any = pool.take(A).cluster
    makes.hold.clear()
    pool.expect(B)
    assert makes.begun.wait(_LONG)
    # It goes on when the pool has begun to close.
    used.on_close = makes.hold.set
    pool.close()
    assert makes.alive == []
    pool.expect(C)
    assert makes.made == ["new a", "new b ahead"]


def test_what_cannot_be_closed_is_told_in_the_end(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of(1)
    cluster: Any = pool.take(A).cluster
    cluster.end = KeeperError("the keeper does not go")
    pool.take(B)
    with pytest.raises(KeeperError, match="does not go"):
        pool.close()
    assert makes.alive == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_every_test_has_a_clean_cluster_and_no_more_are_alive_than_allowed(
    makes: _Makes, pool_of: Callable[..., Pool], seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same each time
    most = rng.randint(1, 4)
    pool = pool_of(most)
    specs = [rng.choice([A, A, B, C]) for _ in range(60)]
    for spec, following in zip(specs, [*specs[1:], None]):
        if rng.random() < 0.1:
            makes.failures.append(ResetFailed("not this time"))
        try:
            kept = pool.take(spec)
        except ResetFailed:
            continue
        cluster: Any = kept.cluster
        assert (cluster.spec, cluster.dirt) == (spec, "")
        assert cluster in makes.alive
        pool.expect(following if rng.random() < 0.8 else None)
        cluster.dirt = rng.choice(["", "job"])
        if rng.random() < 0.1:
            cluster.close()
        if rng.random() < 0.5:
            assert pool.wait_idle(_LONG)
        pool.give_back(retire="was retired" if rng.random() < 0.05 else "")
    assert makes.most_alive <= most


def test_an_error_ahead_that_no_test_meets_is_kept(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    pool.take(A)
    makes.failures.append(BootFailed("it did not come up"))
    pool.expect(B)
    assert pool.wait_idle(_LONG)
    pool.close()
    assert [str(error) for error in pool.take_failures().values()] == ["it did not come up"]


def test_where_no_thread_can_be_started_the_work_is_done_at_once(
    makes: _Makes, pool_of: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = pool_of()
    pool.take(A)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    makes.checks_thread = False
    pool.expect(B)
    pool.take(B)
    assert makes.made == ["new a", "new b"]


def test_a_child_of_a_fork_waits_for_nobody(makes: _Makes, pool_of: Callable[..., Pool]) -> None:
    pool = pool_of()
    pool.take(A)
    makes.hold.clear()
    pool.expect(B)
    assert makes.begun.wait(_LONG)

    def be_the_child() -> None:
        makes.at_once = 0
        makes.hold.set()
        pool.take(B)

    child = multiprocessing.get_context("fork").Process(target=be_the_child)
    with warnings.catch_warnings():
        # Of Python 3.12 and later, that there is a thread: that is what this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(_LONG)
    assert child.exitcode == 0
