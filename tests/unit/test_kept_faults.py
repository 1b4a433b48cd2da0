"""Faults that are written down, as several processes have them: each a registry of its own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.cluster.faults.kept import KeptFaults
from pytest_ganeti_vcluster.cluster.faults.ledger import Ledger
from pytest_ganeti_vcluster.errors import HealFailed, UserError


class Switch:
    """The network of a cluster: which rules are in force, whoever began them."""

    def __init__(self) -> None:
        self.rules: list[str] = []
        self.stuck = False

    def end(self, name: str) -> None:
        if self.stuck:
            raise OSError("no answer")
        self.rules.remove(name)


class Node:
    """The node, for one of these processes."""

    def __init__(self, nodes: Nodes) -> None:
        self.power = SimpleNamespace(thaw=nodes.thaw)
        self._nodes = nodes

    @property
    def is_frozen(self) -> bool:
        return self._nodes.frozen


class Nodes:
    """The processes that have a handle of one cluster in `root`; its one node is frozen while `frozen`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.switch = Switch()
        self.frozen = False
        self.lifted: list[str] = []

    def thaw(self) -> None:
        self.frozen = False

    def registry(self) -> KeptFaults:
        """Return what another process has."""

        def node(name: str) -> Node:
            if name != "node2.vc":
                raise KeyError(name)
            return Node(self)

        cluster = SimpleNamespace(
            root=self.root,
            name="dev.vc",
            parts=SimpleNamespace(site=SimpleNamespace(network_faults=self.switch)),
            node=node,
        )
        return KeptFaults(cast("Any", cluster))

    def cut(self, registry: KeptFaults, name: str, *, reset_undoes: bool = False) -> Fault:
        return registry.begin(
            f"cut {name}",
            lambda: self.switch.rules.append(name),
            lambda: self.switch.end(name),
            reset_undoes=reset_undoes,
            recipe=Recipe("network", {"name": name}),
        )


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


def test_another_process_knows_it_and_lifts_it(nodes: Nodes) -> None:
    ours, theirs = nodes.registry(), nodes.registry()
    fault = nodes.cut(ours, "a")
    [known] = theirs.in_force
    assert (known.what, known.began, theirs.number(known)) == ("cut a", fault.began, ours.number(fault))
    # The same one each time.
    assert theirs.in_force == [known]
    theirs.numbered(1).lift()
    assert nodes.switch.rules == []
    assert not known.in_force
    assert not fault.in_force
    fault.lift()
    assert Ledger(nodes.root).entries() == []


def test_numbers_are_never_given_twice(nodes: Nodes) -> None:
    registry = nodes.registry()
    with nodes.cut(registry, "a") as first:
        assert registry.number(first) == 1
    second = nodes.cut(nodes.registry(), "b")
    assert registry.in_force[0].what == second.what
    assert [entry.number for entry in Ledger(nodes.root).entries()] == [2]
    with pytest.raises(UserError, match=r"no fault 1 of dev\.vc is in force") as refused:
        registry.numbered(1)
    assert "in force: 2" in str(refused.value)


def test_it_is_written_down_before_it_is_done(nodes: Nodes) -> None:
    registry = nodes.registry()

    def see() -> None:
        assert [entry.what for entry in Ledger(nodes.root).entries()] == ["seen"]
        raise OSError("blunt")

    with pytest.raises(OSError, match="blunt"):
        registry.begin("seen", see, lambda: None, recipe=Recipe("network", {"name": "x"}))
    # It was undone.
    assert Ledger(nodes.root).entries() == []
    assert registry.in_force == []


def test_who_looks_while_it_is_begun_does_not_take_it_for_passed(nodes: Nodes) -> None:
    def freeze() -> None:
        assert [fault.what for fault in nodes.registry().in_force] == ["frozen"]
        nodes.frozen = True

    nodes.registry().begin(
        "frozen",
        freeze,
        nodes.thaw,
        still=lambda: nodes.frozen,
        recipe=Recipe("frozen", {"node": "node2.vc"}),
    )
    later = nodes.registry()
    assert [fault.what for fault in later.in_force] == ["frozen"]
    nodes.thaw()
    assert later.in_force == []


def test_one_whose_beginning_was_broken_off_can_be_lifted(nodes: Nodes) -> None:
    Ledger(nodes.root).add(
        "frozen", began=1.0, reset_undoes=False, recipe=Recipe("frozen", {"node": "node2.vc"})
    )
    [fault] = nodes.registry().in_force
    fault.lift()
    assert Ledger(nodes.root).entries() == []


def test_what_can_be_neither_done_nor_undone_stays(nodes: Nodes) -> None:
    nodes.switch.stuck = True
    with pytest.raises(OSError, match="no answer"):
        nodes.registry().begin(
            "half",
            lambda: nodes.switch.end("x"),
            lambda: nodes.switch.end("x"),
            recipe=Recipe("network", {"name": "x"}),
        )
    later = nodes.registry()
    with pytest.raises(HealFailed, match="1 faults could not be lifted"):
        later.heal()
    assert [fault.what for fault in later.in_force] == ["half"]


def test_what_has_passed_is_struck_out(nodes: Nodes) -> None:
    def freeze() -> None:
        nodes.frozen = True

    registry = nodes.registry()
    registry.begin(
        "frozen",
        freeze,
        nodes.thaw,
        still=lambda: nodes.frozen,
        recipe=Recipe("frozen", {"node": "node2.vc"}),
    )
    assert len(nodes.registry().in_force) == 1
    nodes.thaw()
    assert nodes.registry().in_force == []
    assert Ledger(nodes.root).entries() == []
    assert registry.in_force == []


def test_what_a_node_has_taken_with_it_has_passed(nodes: Nodes) -> None:
    nodes.registry().begin("gone", lambda: None, lambda: None, recipe=Recipe("frozen", {"node": "node3.vc"}))
    assert nodes.registry().in_force == []


def test_what_a_restored_state_undoes_is_struck_out(nodes: Nodes) -> None:
    registry = nodes.registry()
    nodes.cut(registry, "a")
    nodes.cut(registry, "b", reset_undoes=True)
    later = nodes.registry()
    later.forget(reset_undoes=True)
    assert [entry.what for entry in Ledger(nodes.root).entries()] == ["cut a"]
    later.forget()
    assert Ledger(nodes.root).entries() == []


def test_a_helper_stays_while_it_is_needed_and_goes_with_the_last(nodes: Nodes) -> None:
    registry = nodes.registry()
    done: list[str] = []

    def begin(kind: str, what: str) -> Fault:
        return registry.begin(
            what,
            lambda: None,
            lambda: done.append(what),
            recipe=Recipe(kind, {"node": "node2.vc", "file": what}),
        )

    hook, first, second = begin("hook", "hook"), begin("rpc", "first"), begin("clock", "second")
    with pytest.raises(UserError, match="other faults need it") as refused:
        registry.lift_with_needs(hook)
    assert "lift these first: 2, 3" in str(refused.value)
    registry.lift_with_needs(first)
    assert done == ["first"]
    registry.lift_with_needs(second)
    assert done == ["first", "second", "hook"]


def test_the_same_is_not_begun_twice(nodes: Nodes) -> None:
    nodes.cut(nodes.registry(), "a")
    with pytest.raises(UserError, match="cut a already"):
        nodes.cut(nodes.registry(), "a")
    assert nodes.switch.rules == ["a"]
    assert len(Ledger(nodes.root).entries()) == 1


def test_one_that_others_cannot_lift_is_ours_alone(nodes: Nodes) -> None:
    registry = nodes.registry()
    with registry.begin("secret", lambda: None, lambda: None) as fault:
        assert registry.in_force == [fault]
        assert nodes.registry().in_force == []
    assert not (nodes.root / "faults.json").exists()


def test_the_file_is_json_for_people_and_programs(nodes: Nodes) -> None:
    nodes.cut(nodes.registry(), "a")
    value = json.loads((nodes.root / "faults.json").read_text(encoding="utf-8"))
    assert value["next"] == 2
    assert value["faults"][0]["recipe"] == {"kind": "network", "details": {"name": "a"}}
