"""Clusters that go from test to test: reset when one gives its cluster back, or made ready ahead, or made anew."""

from __future__ import annotations

import enum
import functools
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Callable, Protocol

import attrs

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.testing.background import Background
from pytest_ganeti_vcluster.testing.limits import Limit

Tell = Callable[[str], None]

#: So many of the last tests of a spec have to have changed their clusters for the next one to be expected to do so.
_SIGNS = 2
#: Seconds between two looks of one who waits for the background.
_PAUSE = 1.0


class Condition(enum.Enum):
    """Of a cluster that is kept."""

    CLEAN = "clean"
    USED = "used by a test"
    GIVEN_BACK = "given back, and perhaps changed"
    AT_WORK = "being reset"


@attrs.define(eq=False)
class Kept:
    """A cluster of the pool. For people: its `origin`, what its last reset `did`, how many `tests` have had it."""

    cluster: VirtualCluster
    origin: str
    condition: Condition
    did: str = ""
    tests: int = 0
    last_used: float = 0.0

    @property
    def spec(self) -> ClusterSpec:
        """What it was asked for as."""
        return self.cluster.spec

    @property
    def history(self) -> str:
        """Tell where it comes from."""
        if self.tests <= 1:
            return self.origin
        before = f"used by {self.tests - 1} test(s) before this one"
        return f"{self.origin}; {before}, {self.did or 'and left unchanged by the last of them'}"


class Makes(Protocol):
    """How the pool gets and cleans clusters, from any thread. `is_awaited`: whether a test waits for it."""

    def obtain(self, spec: ClusterSpec, tell: Tell, *, is_awaited: bool) -> tuple[VirtualCluster, str]:
        """Get a new cluster, and say where it comes from. Raises `VClusterError`."""

    def reset(self, cluster: VirtualCluster, *, is_awaited: bool) -> str:
        """Make a cluster as clean as new, and say what was done; empty for nothing. Raises `VClusterError`."""


class Pool:
    """Keeps the clusters of one process, as many as `limit` allows; where it does not, the least recently used go.

    `take` and `give_back` belong to the main thread. What is expected to be taken next is made ready in the background
    meanwhile, if `prepare`; an error there is raised by the `take` that would have had the cluster.
    """

    def __init__(self, makes: Makes, limit: Limit, *, prepare: bool) -> None:
        self._makes = makes
        self._limit = limit
        self._prepare = prepare
        self._changed = threading.Condition()
        self._background = Background(self._changed, self._plan)
        self._kept: list[Kept] = []
        self._expected: ClusterSpec | None = None
        #: What the background makes now.
        self._adding: ClusterSpec | None = None
        self._taking = False
        self._failures: dict[ClusterSpec, BaseException] = {}
        self._unclosed: list[VClusterError] = []
        self._why_new: dict[ClusterSpec, str] = {}
        self._was_changed: dict[ClusterSpec, deque[bool]] = {}

    # What tests do with it

    @property
    def used(self) -> Kept | None:
        """The one that a test has now."""
        return next((kept for kept in self._kept if kept.condition is Condition.USED), None)

    def take(self, spec: ClusterSpec, tell: Tell = lambda _line: None) -> Kept:
        """Give a cluster as clean as just built; whatever making one raises is raised."""
        self.give_back()
        with self._changed:
            self._taking = True
        try:
            kept = self._find(spec, tell)
        finally:
            with self._changed:
                self._taking = False
        kept.tests += 1
        return kept

    def give_back(self, *, retire: str = "") -> None:
        """Take back what a test has, to be reset for the next one; close it where there is a reason to `retire` it.

        Raises `VClusterError` where a cluster that had to go meanwhile could not be closed.
        """
        used = self.used
        if used is not None and retire:
            self._why_new[used.spec] = f": the one before {retire}"
            self._discard(used)
        with self._changed:
            if used is not None and not retire:
                used.last_used = time.monotonic()
                used.condition = Condition.GIVEN_BACK
            self._wake()
        if self._unclosed:
            raise self._unclosed.pop(0)

    def expect(self, spec: ClusterSpec | None) -> None:
        """Say what the next test will take, None where nobody knows; it is made ready in the background."""
        with self._changed:
            self._expected = spec
            self._wake()

    def close(self) -> None:
        """Close all clusters, also those that are being made; raise the first error."""
        with self._changed:
            kept, self._kept = self._kept, []
            self._expected = None
        with self._background.closing():
            for one in kept:
                self._close(one)
        # What the background has finished before it noticed.
        for one in self._kept:
            self._close(one)
        self._kept = []
        if self._unclosed:
            raise self._unclosed.pop(0)

    def take_failures(self) -> dict[ClusterSpec, BaseException]:
        """Return what went wrong in the background that no test has come to hear of."""
        failures, self._failures = self._failures, {}
        return failures

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is done in the background; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._background.is_idle, timeout)

    @property
    def clusters(self) -> list[VirtualCluster]:
        """All that are kept now."""
        with self._changed:
            return [kept.cluster for kept in self._kept]

    # Taking, in the main thread

    def _find(self, spec: ClusterSpec, tell: Tell) -> Kept:
        while True:
            with self._changed:
                failure = self._failures.pop(spec, None)
                if failure is not None:
                    raise failure
                clean = self._first(spec, Condition.CLEAN)
                if clean is not None:
                    clean.condition = Condition.USED
                    return clean
                if self._background.is_idle:
                    self._forget_work()
                if self._adding == spec or self._first(spec, Condition.AT_WORK) is not None:
                    if self._background.stage:
                        tell(self._background.stage)
                    self._changed.wait(_PAUSE)
                    continue
                given_back = self._first(spec, Condition.GIVEN_BACK)
                if given_back is not None:
                    given_back.condition = Condition.AT_WORK
            if given_back is not None:
                self._renew(given_back, is_awaited=True)
            else:
                self._make_room(spec)
                self._add(spec, tell, is_awaited=True)

    def _make_room(self, spec: ClusterSpec) -> None:
        while True:
            with self._changed:
                if self._has_room(spec):
                    return
                gone = self._least_recently_used(but=spec)
                if gone is not None:
                    self._kept.remove(gone)
                elif self._adding is not None:
                    self._changed.wait(_PAUSE)
                else:
                    return
            if gone is not None:
                self._close(gone)

    # Work, in either thread

    def _renew(self, kept: Kept, *, is_awaited: bool) -> None:
        """Reset one that is `AT_WORK`; what cannot be reset is closed."""
        try:
            did = self._makes.reset(kept.cluster, is_awaited=is_awaited)
        except VClusterError as error:
            self._note(kept.spec, was_changed=True)
            self._why_new[kept.spec] = f": the one before could not be reset ({_first_line(error)})"
            self._discard(kept)
        except BaseException:
            # An interrupt: nobody knows how far it got.
            kept.condition = Condition.GIVEN_BACK
            raise
        else:
            self._note(kept.spec, was_changed=bool(did))
            kept.did = did
            kept.condition = Condition.CLEAN

    def _add(self, spec: ClusterSpec, tell: Tell, *, is_awaited: bool) -> None:
        """Make a new one; whatever that raises is raised."""
        cluster, origin = self._makes.obtain(spec, tell, is_awaited=is_awaited)
        with self._changed:
            origin += self._why_new.pop(spec, "")
            self._kept.append(Kept(cluster, origin, Condition.CLEAN))

    def _note(self, spec: ClusterSpec, *, was_changed: bool) -> None:
        self._was_changed.setdefault(spec, deque(maxlen=_SIGNS)).append(was_changed)

    def _discard(self, kept: Kept) -> None:
        with self._changed:
            if kept in self._kept:
                self._kept.remove(kept)
        self._close(kept)

    def _close(self, kept: Kept) -> None:
        try:
            kept.cluster.close()
        except VClusterError as error:
            self._unclosed.append(error)

    # Preparing, in the background

    def _wake(self) -> None:
        if self._prepare:
            self._background.wake()

    def _plan(self) -> Callable[[], None] | None:
        """Say what is to be done for the test after this one. The lock is held, nothing else is being prepared."""
        spec = self._expected
        if spec is None or self._taking or spec in self._failures:
            return None
        if self._first(spec, Condition.CLEAN) is not None:
            return None
        given_back = self._first(spec, Condition.GIVEN_BACK)
        if given_back is not None:
            given_back.condition = Condition.AT_WORK
            return self._in_background(spec, functools.partial(self._renew, given_back, is_awaited=False))
        used = self.used
        if used is not None and used.spec == spec and not self._is_likely_changed(spec):
            # It comes back clean.
            return None
        going = []
        while not self._has_room(spec):
            gone = self._least_recently_used(but=spec)
            if gone is None:
                # What was taken out of the list for nothing goes nevertheless: there is too much of it.
                break
            self._kept.remove(gone)
            going.append(gone)
        else:
            self._adding = spec
            return self._in_background(spec, functools.partial(self._replace, going, spec))
        return self._in_background(spec, functools.partial(self._close_all, going)) if going else None

    def _replace(self, going: Sequence[Kept], spec: ClusterSpec) -> None:
        self._close_all(going)
        self._add(spec, self._background.tell, is_awaited=False)

    def _close_all(self, going: Sequence[Kept]) -> None:
        for kept in going:
            self._close(kept)

    def _in_background(self, spec: ClusterSpec, work: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised where the cluster is taken
                with self._changed:
                    # What was ended under it fails for that.
                    if not self._background.is_closing:
                        self._failures[spec] = error
            finally:
                with self._changed:
                    self._adding = None

        return guarded

    # Looking, with the lock held

    def _forget_work(self) -> None:
        """Note that nobody works on anything, whatever an interrupt in the wrong moment has left to be thought."""
        self._adding = None
        for kept in self._kept:
            if kept.condition is Condition.AT_WORK:
                kept.condition = Condition.GIVEN_BACK

    def _first(self, spec: ClusterSpec, condition: Condition) -> Kept | None:
        return next((kept for kept in self._kept if kept.spec == spec and kept.condition is condition), None)

    def _is_likely_changed(self, spec: ClusterSpec) -> bool:
        signs = self._was_changed.get(spec, ())
        return bool(signs) and all(signs)

    def _has_room(self, spec: ClusterSpec) -> bool:
        adding = [] if self._adding is None else [self._adding]
        return self._limit.allows([*(kept.spec for kept in self._kept), *adding, spec])

    def _least_recently_used(self, *, but: ClusterSpec) -> Kept | None:
        """Choose one to go; none of the spec that is made room for, nor one that is wanted next."""
        idle = [
            kept
            for kept in self._kept
            if kept.condition in {Condition.CLEAN, Condition.GIVEN_BACK} and kept.spec != but
        ]
        wanted = [kept for kept in idle if kept.spec == self._expected]
        choice = [kept for kept in idle if kept not in wanted] or wanted
        return min(choice, key=lambda kept: kept.last_used, default=None)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
