"""The plan of a soak, and how it is decided whether a cluster has grown."""

from __future__ import annotations

import itertools
from collections import Counter

import attrs
import pytest

from soak.census import Process, Sample
from soak.growth import judge
from soak.known import sort_left
from soak.plan import WEIGHTS, Operation, Plan

NODES = [f"node{number}" for number in range(1, 6)]


def operations(seed: int, count: int, *, instances: int = 10, apart: int = 3) -> list[Operation]:
    return list(itertools.islice(Plan(seed, NODES, instances=instances, apart=apart), count))


def test_the_same_seed_gives_the_same_order() -> None:
    assert operations(7, 500) == operations(7, 500)
    assert operations(7, 500) != operations(8, 500)


@attrs.define
class _Books:
    """What a cluster would know of its instances: refuses what is impossible."""

    running: dict[str, bool] = attrs.field(factory=dict)
    templates: dict[str, str] = attrs.field(factory=dict)

    def do(self, one: Operation) -> None:
        name = one.instance
        if one.kind == "look":
            assert not name
            return
        assert (name in self.running) == (one.kind != "create")
        if one.kind in {"migrate", "stop", "reboot"}:
            assert self.running[name]
        if one.kind == "start":
            assert not self.running[name]
        if one.kind in {"migrate", "failover"}:
            assert self.templates[name] in {"diskless", "sharedfile"}
        if one.kind == "move":
            assert self.templates[name] == "file"
        if one.kind in {"migrate", "failover", "move"}:
            # Wherever it is, one of them is elsewhere.
            assert len(set(one.targets)) == 2
        assert set(one.targets) <= set(NODES)
        if one.after is None:
            assert one.kind == "remove"
            del self.running[name]
        else:
            assert one.after.name == name
            self.running[name], self.templates[name] = one.after.running, one.after.template


@pytest.mark.parametrize("seed", range(5))
def test_nothing_impossible_is_asked_for(seed: int) -> None:
    books = _Books()
    plan = Plan(seed, NODES, instances=10, apart=3)
    numbers = []
    for operation in itertools.islice(plan, 2000):
        books.do(operation)
        numbers.append(len(books.running))
    assert books.running == {name: one.running for name, one in plan.instances.items()}
    # It goes straight to the wanted number, and stays about there.
    assert numbers[:10] == list(range(1, 11))
    assert {9, 10, 11} == set(numbers[10:])
    for operation in plan.removals():
        books.do(operation)
    assert not books.running
    assert not plan.instances


def test_operations_on_one_instance_are_apart() -> None:
    row = operations(3, 2000, apart=4)
    for four in zip(row, row[1:], row[2:], row[3:]):
        names = [one.instance for one in four if one.instance]
        assert len(set(names)) == len(names)


def test_all_kinds_are_done_and_names_come_again() -> None:
    row = operations(1, 2000)
    kinds = Counter(one.kind for one in row)
    assert kinds.keys() == WEIGHTS.keys()
    assert kinds["migrate"] > kinds["reboot"]
    assert len({one.instance for one in row}) < 15
    changed = [one for one in row if one.kind == "tag"]
    assert {len(one.after.tags) for one in changed if one.after} > {0, 1}


def test_with_one_node_nothing_goes_elsewhere() -> None:
    row = list(itertools.islice(Plan(1, ["node1"], instances=2, apart=3), 300))
    assert not {one.kind for one in row} & {"migrate", "failover", "move"}


def sample(minute: float, **private: int) -> Sample:
    """At a minute with 100 operations each, these processes with so much memory in KiB."""
    processes = tuple(Process(name, "node1", size, {"pipe": 2}) for name, size in private.items())
    return Sample(minute * 60, int(minute * 100), processes)


def test_memory_that_grows_is_told() -> None:
    leaking = [sample(minute, noded=10_000 + minute * 500, luxid=9_000) for minute in range(31)]
    verdict = judge(leaking, warm_up=360)
    [told] = verdict.growth
    # Of minutes 6 to 30 the first eight, and the last eight.
    assert told == "memory of noded: 21.0 MiB, was 12.7 MiB (+4.88 MiB for 1,000 operations)"
    assert [(row.name, row.private) for row in verdict.rows] == [
        ("luxid", (9_000, 9_000)),
        ("noded", (13_000, 21_500)),
    ]


def test_memory_that_goes_up_and_down_and_what_is_allowed_is_not_told() -> None:
    allowed = [sample(minute, luxid=20_000 + (minute % 5) * 4_000 + minute * 40) for minute in range(31)]
    verdict = judge(allowed, warm_up=360)
    assert verdict.memory_judged
    assert verdict.growth == ()


def test_a_heap_that_is_up_more_often_has_not_grown_as_long_as_it_comes_down_again() -> None:
    heaps = [sample(minute, luxid=15_000 + 10_000 * (minute % 8 > 7 - minute // 4)) for minute in range(31)]
    assert judge(heaps, warm_up=360).growth == ()
    [told] = judge(
        [*heaps[:23], *(sample(minute, luxid=25_000) for minute in range(23, 31))], warm_up=360
    ).growth
    assert told.startswith("memory of luxid: 24.4 MiB, was 14.6 MiB")


def test_memory_is_not_judged_before_heaps_are_full() -> None:
    short = [sample(minute / 10, luxid=1000 + minute * 5000) for minute in range(10)]
    verdict = judge(short, warm_up=6)
    assert not verdict.memory_judged
    assert verdict.growth == ()
    filling = judge([sample(minute, luxid=1000 + minute * 5000) for minute in range(10)], warm_up=None)
    assert not filling.memory_judged
    assert filling.growth == ()


def test_growth_of_one_process_among_many_is_told() -> None:
    def nodes(minute: int) -> Sample:
        processes = [Process("noded", f"node{number}", 10_000, {}) for number in range(20)]
        processes[7] = attrs.evolve(processes[7], private=10_000 + minute * 300)
        return Sample(minute * 60.0, minute, tuple(processes))

    assert len(judge([nodes(minute) for minute in range(31)], warm_up=360).growth) == 1


def test_processes_that_stay_are_told() -> None:
    def jobs(minute: int, *, left: int) -> Sample:
        processes = [Process("python3", str(number), 1, {}) for number in range(left)]
        return Sample(minute * 60.0, minute, (*sample(minute, noded=1).processes, *processes))

    assert judge([jobs(minute, left=minute % 2) for minute in range(30)], warm_up=0).growth == ()
    growing = judge([jobs(minute, left=minute // 10) for minute in range(30)], warm_up=0)
    assert growing.growth == ("processes called python3: 2, were 0",)


def test_what_is_started_on_demand_may_come_later() -> None:
    def with_metad(count: int) -> Sample:
        return Sample(float(count), count, tuple(Process("metad", str(one), 1, {}) for one in range(count)))

    samples = [with_metad(count) for count in range(6)]
    assert judge(samples, warm_up=0, on_demand={"metad": 5}).growth == ()
    [told] = judge(samples, warm_up=0, on_demand={"metad": 3}).growth
    assert told == "processes called metad: 4, were 3"


def test_descriptors_that_stay_are_named() -> None:
    def opened(minute: int, **descriptors: int) -> Sample:
        return Sample(minute * 60.0, minute, (Process("luxid", "node1", 1, descriptors),))

    steady = [opened(minute, socket=5 + minute % 3) for minute in range(30)]
    assert judge(steady, warm_up=0).growth == ()
    leaking = [opened(minute, socket=5, pipe=minute // 10) for minute in range(30)]
    assert judge(leaking, warm_up=0).growth == ("descriptors of luxid (node1): 7, were 5; more are 2 pipe",)


def test_a_single_sample_is_enough() -> None:
    verdict = judge([sample(0, noded=1)], warm_up=60)
    assert verdict.growth == ()
    assert [row.processes for row in verdict.rows] == [(1, 1)]


def test_what_ganeti_leaves_is_parted_from_other_files() -> None:
    unknown, known = sort_left(
        {"node1.vc/var/run/ganeti/instance-reason/a.vc": 2, "node1.vc/var/run/ganeti/tmp-N": 1}
    )
    assert unknown == {"node1.vc/var/run/ganeti/tmp-N": 1}
    assert list(known.values()) == [2]
