"""The plan and the model of the robustness suite."""

from __future__ import annotations

from itertools import islice

import attrs

from robustness.model import DONE, FAILED, UNKNOWN, Model, State
from robustness.plan import Operation, harms, operations

NODES = ("node1", "node2", "node3", "node4", "node5")
MADE = State(there=True, running=True, memory=64)


def op(kind: str) -> Operation:
    return Operation(1, kind, "robust1", memory=64, tag="red")


def test_a_seed_gives_the_same_again_and_another_another() -> None:
    def plan(seed: int) -> tuple[list[object], list[object]]:
        return list(islice(operations(seed, NODES, 6), 100)), list(
            islice(harms(seed, NODES, frozenset()), 100)
        )

    assert plan(7) == plan(7)
    assert plan(7)[0] != plan(8)[0]
    assert plan(7)[1] != plan(8)[1]


def test_first_all_instances_are_made() -> None:
    first = list(islice(operations(3, NODES, 6), 6))
    assert [one.kind for one in first] == ["create"] * 6
    assert len({one.instance for one in first}) == 6


def test_faults_are_those_that_an_engine_can_do() -> None:
    kinds = {one.kind for one in islice(harms(1, NODES, frozenset()), 200)}
    assert kinds == {"kill", "crash", "power"}
    all_kinds = {one.kind for one in islice(harms(1, NODES, {"freeze", "isolate", "partition"}), 200)}
    assert all_kinds == kinds | {"freeze", "isolate", "partition"}
    only = {one.kind for one in islice(harms(1, NODES, {"freeze"}, {"freeze", "kill"}), 200)}
    assert only == {"freeze", "kill"}


def test_the_smaller_side_of_a_partition_is_named() -> None:
    cuts = islice(harms(1, NODES, {"partition"}, {"partition"}), 100)
    assert {len(one.nodes) for one in cuts} == {1, 2}


def test_what_was_done_is_so() -> None:
    model = Model()
    assert model.note(op("create"), DONE) == ""
    assert model.possible("robust1") == {MADE}
    assert model.note(op("tag"), DONE) == ""
    assert model.note(op("stop"), DONE) == ""
    assert model.wrong("robust1", attrs.evolve(MADE, running=False, tags=frozenset({"red"}))) == ""
    assert "which is none of" in model.wrong("robust1", MADE)
    model.note(op("remove"), DONE)
    assert "robust1 is State(there=True" in model.wrong("robust1", MADE)
    assert model.wrong("robust1", State()) == ""


def test_of_what_failed_or_nobody_knows_either_may_be() -> None:
    for outcome in (FAILED, UNKNOWN):
        model = Model()
        model.note(op("create"), outcome)
        assert model.possible("robust1") == {State(), MADE, attrs.evolve(MADE, running=False)}
        # It can have begun so only if it was there.
        model.note(op("stop"), DONE)
        assert model.possible("robust1") == {attrs.evolve(MADE, running=False)}


def test_what_cannot_have_been_done() -> None:
    model = Model()
    assert "was done, though the instance was one of State(there=False" in model.note(op("stop"), DONE)
    model.note(op("create"), DONE)
    assert "was done" in model.note(op("create"), DONE)
