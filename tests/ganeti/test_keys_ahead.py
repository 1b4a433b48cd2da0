"""Keys of nodes are made ahead, each for one node only."""

from __future__ import annotations

import threading

from pytest_ganeti_vcluster.cluster.making.keys_ahead import KeysAhead


def numbers(keys: list[object]) -> set[int]:
    return {
        key.private_numbers().p
        for one in keys
        for key in (one.ssh, one.client)  # type: ignore[attr-defined]
    }


def test_as_many_as_are_wanted_whenever_they_are_taken() -> None:
    with KeysAhead.making(3) as keys:
        at_once = keys.take()
    assert len(at_once) == 3
    assert len(numbers([*at_once])) == 6
    with KeysAhead.making(2) as keys:
        for thread in keys._threads:
            thread.join()
        made = keys.take()
    assert len(numbers([*made])) == 4


def test_nothing_is_made_any_more_when_nobody_wants_it() -> None:
    before = threading.active_count()
    with KeysAhead.making(1000) as keys:
        pass
    assert threading.active_count() == before
    assert len(keys._made) < 1000


def test_none_are_made_for_nobody() -> None:
    with KeysAhead.making(0) as keys:
        assert keys.take() == []
