"""Which test comes next that wants a cluster: what can be made ready for it while another runs."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.testing import state


class Upcoming:
    """The tests that follow. An xdist worker knows of no more than the next one."""

    def __init__(self, session: pytest.Session) -> None:
        self._knows_all = not hasattr(session.config, "workerinput")
        self._items = session.items
        self._places: dict[pytest.Item, int] = {}

    def next_user(self, nextitem: pytest.Item | None) -> pytest.Item | None:
        """Return the next test that takes a cluster of the pool, from `nextitem` on; None where none is known."""
        if nextitem is None:
            return None
        if takes_cluster(nextitem):
            return nextitem
        if not self._knows_all:
            return None
        if not self._places:
            self._places = {item: place for place, item in enumerate(self._items)}
        place = self._places.get(nextitem, len(self._items))
        return next((item for item in self._items[place:] if takes_cluster(item)), None)


def takes_cluster(item: pytest.Item) -> bool:
    """Whether a test takes a cluster of the pool, as far as can be known before: not if it may be skipped."""
    return "vcluster" in state.fixture_names(item) and not _may_be_skipped(item)


def _may_be_skipped(item: pytest.Item) -> bool:
    if item.get_closest_marker("skip") is not None:
        return True
    for mark in item.iter_markers("skipif"):
        conditions = mark.args or (mark.kwargs.get("condition", True),)
        # A text is evaluated by pytest when it comes to the test.
        if any(isinstance(condition, str) or condition for condition in conditions):
            return True
    return any(mark.kwargs.get("run") is False for mark in item.iter_markers("xfail"))
