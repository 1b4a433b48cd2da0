"""Growth: known laws are found again through noise, and what cannot be told is not told."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from pytest_ganeti_vcluster.errors import ExtraMissing
from pytest_ganeti_vcluster.scale.fitting import Growth, growth, name_of, slope
from pytest_ganeti_vcluster.scale.lines import Line, lines, longest
from pytest_ganeti_vcluster.scale.results import Figure, Point
from tests.scale.made import line, sweep

SIZES = (5, 10, 20, 50, 100)


def found(along: Line) -> Growth:
    growing = growth(along)
    assert growing is not None
    return growing


LAWS: dict[str, tuple[Callable[[float], float], float, float, str]] = {
    # the law, its fixed part, its exponent, how it is named
    "constant": (lambda _size: 2.0, 0.0, 0.0, "constant"),
    "as good as constant": (lambda size: 10 + 0.01 * size, 0.0, 0.0, "constant"),
    "linear": (lambda size: 0.03 * size, 0.0, 1.0, "linear"),
    "linear and fixed": (lambda size: 1 + 0.05 * size, 1.0, 1.0, "linear"),
    "quadratic": (lambda size: 0.001 * size**2, 0.0, 2.0, "quadratic"),
    "quadratic and fixed": (lambda size: 1 + 0.001 * size**2, 1.0, 2.0, "quadratic"),
    "between": (lambda size: 0.1 * size**1.4, 0.0, 1.4, "between linear and quadratic"),
    "root": (lambda size: size**0.5, 0.0, 0.5, "between constant and linear"),
    "cubic": (lambda size: 1e-4 * size**3, 0.0, 3.0, "cubic"),
    "steep": (lambda size: 1e-6 * size**4, 0.0, 4.0, "steeper than cubic"),
    "inverse": (lambda size: 10 / size, 0.0, -1.0, "inversely proportional"),
    "falling": (lambda size: 10 / size**0.5, 0.0, -0.5, "falling"),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", range(3))
def test_a_law_is_found_again_through_noise(name: str, seed: int) -> None:
    law, fixed, exponent, word = LAWS[name]
    growing = found(line(law, SIZES, noise=0.02, runs=5, seed=seed))
    assert growing.law is not None
    assert growing.name.startswith(word), growing.name
    if word != "constant":
        assert growing.law.exponent == pytest.approx(exponent, abs=0.15)
        assert growing.law.error < 0.15
        assert growing.law.r2 > 0.98
    if fixed:
        assert growing.law.fixed == pytest.approx(fixed, rel=0.25)
        for size in SIZES:
            assert growing.law.at(size) == pytest.approx(law(size), rel=0.1)


def test_without_noise_a_law_is_exact() -> None:
    growing = found(line(lambda size: 1 + 0.02 * size, SIZES))
    assert growing.law is not None
    assert growing.power is not None
    assert (growing.law.fixed, growing.law.factor, growing.law.exponent) == pytest.approx(
        (1, 0.02, 1), rel=1e-3
    )
    # What a power alone makes of it is far too little: that is why there is a fixed part.
    assert growing.power.exponent < 0.5
    assert growing.law.at(0) == growing.law.fixed


def test_a_power_without_a_fixed_part_is_told_as_such() -> None:
    growing = found(line(lambda size: 0.1 * size**1.4, SIZES))
    assert growing.law is growing.power


def test_three_sizes_have_a_power_only_and_two_have_none() -> None:
    three = found(line(lambda size: 1 + 0.1 * size, (5, 20, 50)))
    assert three.law is three.power is not None
    two = found(line(lambda size: 0.1 * size, (5, 50), noise=0.1))
    assert two.law is None
    assert two.name == "too few sizes (2)"
    assert two.end is not None
    middle, least, greatest = two.end
    assert least < middle < greatest
    assert middle == pytest.approx(1, abs=0.2)
    one = found(line(lambda size: 0.1 * size, (5,)))
    assert (one.name, one.end) == ("too few sizes (1)", None)


def test_the_exponent_at_the_end_assumes_no_law() -> None:
    # Constant up to 50, then three times as much for twice the size: no single law.
    growing = found(line(lambda size: 1.0 if size <= 50 else 3.0, SIZES))
    assert growing.end is not None
    assert growing.end == pytest.approx((1.585, 1.585, 1.585), abs=0.001)


def test_sizes_that_lie_on_a_law_by_luck_have_the_error_of_their_repetitions() -> None:
    points = [
        Point(
            nodes=size,
            instances=0,
            joined="bulk",
            figures=[Figure("x", "wall", "s", (0.5 * size, size, 2.0 * size))],
        )
        for size in (10, 20, 40)
    ]
    (along,) = lines(sweep(points), "x", "wall", "nodes")
    growing = found(along)
    assert growing.law is not None
    assert growing.law.exponent == pytest.approx(1)
    assert growing.law.error > 0.3


def test_noise_beyond_all_bounds_is_told_as_unclear() -> None:
    assert name_of(1.2, 0.8) == "unclear (n^1.20 ± 0.80)"
    assert name_of(5, 166) == "unclear"
    assert name_of(1.2, float("inf")) == "unclear"
    assert name_of(1.2, float("nan")) == "unclear"


@pytest.mark.parametrize(
    ("exponent", "error", "name"),
    [
        (0.05, 0.01, "constant"),
        (0.13, 0.01, "between constant and linear"),
        (0.13, 0.2, "constant"),
        (0.9, 0.01, "linear"),
        (1.2, 0.01, "between linear and quadratic"),
        (1.2, 0.25, "linear"),
        (1.4, 0.45, "between linear and quadratic"),
        (2.1, 0.01, "quadratic"),
        (2.5, 0.01, "between quadratic and cubic"),
        (3.4, 0.01, "steeper than cubic"),
        (-0.3, 0.01, "falling"),
        (-1.1, 0.01, "inversely proportional"),
        (-2.1, 0.01, "falling"),
    ],
)
def test_exponents_have_names(exponent: float, error: float, name: str) -> None:
    assert name_of(exponent, error) == f"{name} (n^{exponent:.2f} ± {error:.2f})"


def test_sizes_and_values_of_zero_do_no_harm() -> None:
    points = [
        Point(nodes=4, instances=size, joined="real", figures=[Figure("x", "wall", "s", (2 + 0.5 * size,))])
        for size in (0, 10, 20, 40, 80)
    ]
    (along,) = lines(sweep(points), "x", "wall", "instances")
    growing = found(along)
    assert growing.law is not None
    assert growing.law.fixed == pytest.approx(2, rel=0.01)
    assert growing.law.exponent == pytest.approx(1, rel=0.01)
    assert growing.first == 2
    nothing = line(lambda _size: 0.0, SIZES)
    assert found(nothing).name == "too few sizes (5)"
    assert found(line(lambda size: size - 5.0, SIZES)).law is not None


@pytest.mark.parametrize("runs", [1, 3])
def test_size_zero_tells_the_fixed_part_where_repetitions_tell_how_well(runs: int) -> None:
    growing = found(line(lambda size: 2 + 0.05 * size, (0, 20, 100), noise=0.03, runs=runs))
    assert growing.power is None
    if runs == 1:
        assert growing.law is None
        assert growing.name == "too few sizes (3)"
        return
    assert growing.law is not None
    assert growing.law.fixed == pytest.approx(2, rel=0.1)
    assert growing.law.exponent == pytest.approx(1, abs=0.15)
    assert 0 < growing.law.error < 0.15
    # Where what is there at 0 is more than what is there later, no such law exists.
    assert found(line(lambda size: 2 if size else 20, (0, 20, 100), noise=0.03)).law is None


def test_size_zero_and_two_more_that_are_too_noisy_are_told_as_unclear() -> None:
    points = [
        Point(nodes=4, instances=size, joined="real", figures=[Figure("x", "wall", "s", values)])
        for size, values in ((0, (1.0, 2.0, 4.0)), (20, (1.1, 2.2, 4.4)), (80, (2.0, 4.0, 8.0)))
    ]
    (along,) = lines(sweep(points), "x", "wall", "instances")
    assert found(along).name.startswith("unclear")


def test_what_hardly_grows_from_zero_on_is_constant() -> None:
    assert found(line(lambda size: 2 + 0.001 * size, (0, 20, 100), noise=0.01)).name == "constant"


def test_a_line_without_values_has_no_growth() -> None:
    point = Point(nodes=4, instances=0, joined="real", figures=[Figure("x", "wall", "s", (), "timed out")])
    (along,) = lines(sweep([point]), "x", "wall", "nodes")
    assert growth(along) is None
    assert along.broken == ((point, point.figures[0]),)


def test_ways_of_making_that_differ_along_a_line_are_told() -> None:
    def point(nodes: int, joined: str) -> Point:
        return Point(
            nodes=nodes,
            instances=0,
            joined=joined,  # type: ignore[arg-type]
            figures=[Figure("x", "wall", "s", (nodes,))],
        )

    (mixed,) = lines(sweep([point(4, "real"), point(9, "bulk")]), "x", "wall", "nodes")
    assert mixed.is_mixed
    (same,) = lines(sweep([point(4, "bulk"), point(9, "bulk")]), "x", "wall", "nodes")
    assert not same.is_mixed


def test_lines_hold_one_and_let_the_other_grow() -> None:
    points = [
        Point(nodes=n, instances=i, joined="bulk", figures=[Figure("x", "wall", "s", (n + i,))])
        for n, i in ((5, 0), (5, 100), (10, 0), (20, 0), (20, 100))
    ]
    over_nodes = lines(sweep(points), "x", "wall", "nodes")
    assert [(one.held, one.sizes, one.middles) for one in over_nodes] == [
        (0, (5, 10, 20), (5, 10, 20)),
        (100, (5, 20), (105, 120)),
    ]
    over_instances = lines(sweep(points), "x", "wall", "instances")
    assert [(one.held, one.sizes) for one in over_instances] == [(5, (0, 100)), (10, (0,)), (20, (0, 100))]
    assert longest(over_nodes) is over_nodes[0]
    assert longest(over_instances) is over_instances[2]
    assert longest(()) is None


def test_memory_has_a_slope() -> None:
    told = slope(line(lambda size: 20 + 8 * size, SIZES))
    assert told is not None
    assert told == pytest.approx((8, 0), abs=1e-6)
    assert slope(line(lambda size: size, (5, 10))) is None


def test_what_is_missing_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ExtraMissing) as caught:
        growth(line(lambda size: size, SIZES))
    assert "fitting growth needs scipy, which is not installed" in str(caught.value)
    assert "pip install 'pytest-ganeti-vcluster[scale]'" in str(caught.value)
