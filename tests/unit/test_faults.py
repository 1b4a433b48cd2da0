"""Faults: begun, lifted, healed, forgotten."""

from __future__ import annotations

import functools

import pytest

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults
from pytest_ganeti_vcluster.errors import HealFailed


class Link:
    """Something that can be broken."""

    def __init__(self) -> None:
        self.history: list[str] = []
        self.stuck = False

    def cut(self) -> None:
        self.history.append("cut")

    def tie(self) -> None:
        if self.stuck:
            raise OSError("no rope")
        self.history.append("tied")


def cut(faults: Faults, link: Link, *, reset_undoes: bool = False) -> Fault:
    return faults.begin("a cut link", link.cut, link.tie, reset_undoes=reset_undoes)


def test_a_fault_is_in_force_until_its_block_ends() -> None:
    faults, link = Faults(), Link()
    with cut(faults, link) as fault:
        assert faults.in_force == [fault]
        assert fault.in_force
        assert link.history == ["cut"]
    assert not faults.in_force
    fault.lift()
    assert link.history == ["cut", "tied"]


def test_what_cannot_be_done_is_undone() -> None:
    faults, link = Faults(), Link()

    def fail() -> None:
        link.cut()
        raise OSError("blunt")

    with pytest.raises(OSError, match="blunt"):
        faults.begin("a cut link", fail, link.tie)
    assert link.history == ["cut", "tied"]
    assert not faults.in_force


def test_healing_lifts_the_newest_first_and_all_that_can_be() -> None:
    faults = Faults()
    order: list[int] = []
    for number in range(3):
        faults.begin(f"fault {number}", lambda: None, functools.partial(order.append, number))
    link = Link()
    stuck = cut(faults, link)
    link.stuck = True
    with pytest.raises(HealFailed, match="1 faults could not be lifted") as failed:
        faults.heal()
    assert "a cut link: OSError: no rope" in failed.value.seen
    assert order == [2, 1, 0]
    assert faults.in_force == [stuck]
    link.stuck = False
    faults.heal()
    assert not faults.in_force
    assert link.history == ["cut", "tied"]


def test_what_a_reset_undoes_is_forgotten_with_it() -> None:
    faults, link = Faults(), Link()
    cut(faults, link, reset_undoes=True)
    lasting = cut(faults, link)
    faults.forget(reset_undoes=True)
    assert faults.in_force == [lasting]
    faults.forget()
    assert not faults.in_force
    assert link.history == ["cut", "cut"]
