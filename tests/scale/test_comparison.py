"""Two sweeps: ratios, and what the repetitions allow to say of them."""

from __future__ import annotations

import attrs
import pytest

from pytest_ganeti_vcluster.errors import ResultsError
from pytest_ganeti_vcluster.scale.amounts import amount, quantity_name
from pytest_ganeti_vcluster.scale.comparison import Change, Verdict, chance_apart, compare
from pytest_ganeti_vcluster.scale.results import Figure, Point
from tests.scale.made import MACHINE, sweep


def figure(*values: float, unit: str = "s", error: str = "") -> Figure:
    return Figure("verify", "wall", unit, values, error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "verdict", "ratio"),
    [
        (figure(2, 2.2, 2.1), figure(1, 1.1, 1.05), Verdict.BETTER, 0.5),
        (figure(2, 2.2, 2.1), figure(4, 4.4, 4.2), Verdict.WORSE, 2),
        (figure(2, 2.2, unit="1/s"), figure(4, 4.4, unit="1/s"), Verdict.BETTER, 2),
        (figure(2, 2.2, unit="1/s"), figure(1, 1.1, unit="1/s"), Verdict.WORSE, 0.5),
        (figure(2, 3, 4), figure(3.9, 6, 7), Verdict.NOISE, 2),
        (figure(2, 2), figure(2, 2), Verdict.NOISE, 1),
        (figure(2), figure(1, 1), Verdict.SINGLE, 0.5),
        (figure(2, 2), figure(1), Verdict.SINGLE, 0.5),
        (figure(2, 2), figure(error="timed out"), Verdict.BROKE, None),
        (figure(error="timed out"), figure(2, 2), Verdict.MENDED, None),
        (figure(error="timed out"), figure(error="timed out"), Verdict.ABSENT, None),
        (None, figure(2, 2), Verdict.ABSENT, None),
        (figure(2, 2), None, Verdict.ABSENT, None),
        (figure(0, 0), figure(1, 1), Verdict.ABSENT, None),
    ],
)
def test_a_change_is_told_as_far_as_the_repetitions_allow(
    before: Figure | None, after: Figure | None, verdict: Verdict, ratio: float | None
) -> None:
    change = Change((5, 0), before, after)
    assert change.verdict is verdict
    assert change.ratio == (None if ratio is None else pytest.approx(ratio))


def test_the_ratio_has_the_range_of_the_repetitions() -> None:
    change = Change((5, 0), figure(2, 2.5, 4), figure(8, 5, 10))
    assert (change.least, change.ratio, change.greatest) == (1.25, 3.2, 5)


def test_ranges_part_by_chance_less_often_with_more_repetitions() -> None:
    assert chance_apart(1, 1) == 1
    assert chance_apart(3, 3) == pytest.approx(0.1)
    assert chance_apart(5, 5) == pytest.approx(2 / 252)


def point(nodes: int, *figures: Figure, instances: int = 0, joined: str = "bulk") -> Point:
    return Point(nodes=nodes, instances=instances, joined=joined, figures=figures)  # type: ignore[arg-type]


def test_sweeps_are_compared_where_both_have_been() -> None:
    before = sweep([point(5, figure(1, 1.1)), point(10, figure(2, 2.1)), point(20, figure(4, 4.1))])
    after = sweep([point(5, figure(0.5, 0.6)), point(10, figure(2, 2.05)), point(50, figure(9, 9.1))])
    comparison = compare(before, after)
    assert comparison.sizes == ((5, 0), (10, 0))
    (changes,) = comparison.changes
    assert [change.verdict for change in changes.changes] == [Verdict.BETTER, Verdict.NOISE]
    assert changes.summary == "better at 1, within noise at 1"
    assert changes.mean == pytest.approx((0.55 / 1.05 * 2.025 / 2.05) ** 0.5)
    assert not comparison.differences
    ((old, new),) = comparison.lines("verify", "wall", "nodes")
    assert old.sizes == new.sizes == (5, 10)


def test_figures_of_one_side_only_are_told() -> None:
    other = Figure("boot", "wall", "s", (1, 2))
    comparison = compare(sweep([point(5, figure(1, 1))]), sweep([point(5, figure(1, 1), other)]))
    assert [(one.operation, one.summary) for one in comparison.changes] == [
        ("verify", "within noise at the one size"),
        ("boot", "not in both at the one size"),
    ]
    assert comparison.changes[1].mean is None


def test_sweeps_without_a_common_size_are_refused() -> None:
    with pytest.raises(ResultsError) as caught:
        compare(sweep([point(5, figure(1)), point(7, figure(1))]), sweep([point(6, figure(1))]))
    assert "no size in common" in str(caught.value)
    assert "before: 5 x 0, 7 x 0" in str(caught.value)


def test_what_else_differs_is_told() -> None:
    before = sweep([point(5, figure(1), joined="real")], options={"runs": 3, "seed": 1})
    after = sweep(
        [point(5, figure(1))],
        options={"runs": 5, "seed": 1},
        engine="namespaces",
        machine=attrs.evolve(MACHINE, cores=8, memory=MACHINE.memory + 4096),
    )
    assert compare(before, after).differences == (
        "the machine: cores 2 before, 8 after",
        "engine loopback before, namespaces after",
        "option runs: 3 before, 5 after",
        "nodes joined in different ways at 5 nodes, 0 instances",
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "-"),
        (0.0, "s", "0 s"),
        (12.345, "s", "12.3 s"),
        (0.5, "s", "0.5 s"),
        (0.0456, "s", "45.6 ms"),
        (0.0000456, "s", "45.6 µs"),
        (1e-9, "s", "0.001 µs"),
        (1234.5, "s", "1,234 s"),
        (8 << 20, "B", "8 MiB"),
        (512, "B", "512 B"),
        (1.5 * (1 << 30), "B", "1.5 GiB"),
        (12345, "1", "12,345"),
        (3.14159, "1/s", "3.14/s"),
        (-2048, "B", "-2 KiB"),
    ],
)
def test_amounts_have_three_digits_and_a_unit(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_quantities_have_names() -> None:
    assert [quantity_name(one) for one in ("wall", "cpu:luxid", "memory:noded", "odd")] == [
        "time",
        "CPU time of luxid",
        "memory (PSS) of noded",
        "odd",
    ]
