"""How a figure grows: a law fitted to the medians along a line, and its name.

Two laws are fitted, and both minimise the squares of *relative* deviations, so that small and large sizes count alike:

*power*   y = b * n**k, a straight line on logarithmic axes (`scipy.stats.linregress`), from 3 sizes on
*fixed*   y = a + b * n**k with a, b >= 0 (`scipy.optimize.curve_fit`), from 4 sizes on, or from 0 and two
          more: most of what Ganeti does has a part that is there however small the cluster, and a power alone then
          understates how the rest grows

The fixed part has to earn its place: it is told where it takes away clearly more of the squares than chance would, and
the exponent beside it is known to half a unit or better. Errors of exponents are standard errors: how well the sizes
lie on the law, but no better than the spread of the repetitions allows, as few sizes lie well on anything now and
then. They say nothing of what is beyond the largest size. Beside them stands the exponent between the two largest
sizes, which assumes no law.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import attrs

from pytest_ganeti_vcluster.scale.extra import needed
from pytest_ganeti_vcluster.scale.lines import Direction, Line

#: Sizes that a law needs: one more than it has parameters.
LEAST_SIZES = 3
_LEAST_SIZES_FIXED = 4

#: An exponent as near as this to a whole number has its name, also where its error is smaller.
_TOLERANCE = 0.15

#: ... and never one that is further away, however large the error.
_WIDEST_TOLERANCE = 0.3

#: Up to this exponent, and this much of growth in all, a figure is called constant.
_CONSTANT_EXPONENT = 0.1
_CONSTANT_GROWTH = 1.25

#: With a larger error, an exponent tells nothing.
_UNCLEAR = 0.5

_STEEPEST = 5.0

_NAMES = {-1: "inversely proportional", 0: "constant", 1: "linear", 2: "quadratic", 3: "cubic"}

_PURPOSE = "fitting growth"


@attrs.frozen(kw_only=True)
class Law:
    """A law that was fitted: y = `fixed` + `factor` * n ** `exponent`.

    `error` is the exponent's standard error, and `r2` the share of the variance of log y that the law accounts for.
    """

    fixed: float
    factor: float
    exponent: float
    error: float
    r2: float

    def at(self, size: float) -> float:
        """Return what the law says for a size."""
        return self.fixed + self.factor * size**self.exponent if size else self.fixed

    @property
    def name(self) -> str:
        """The growth in words, with the exponent: `"linear (n^1.05 ± 0.03)"`."""
        return name_of(self.exponent, self.error)


@attrs.frozen(kw_only=True)
class Growth:
    """How a figure grows along a line.

    `over`         what grows
    `held`         how many there are of the other one
    `sizes`        where it was measured
    `first`        median at the smallest size
    `last`         median at the largest size
    `law`          the law that is told; None where there are too few sizes
    `power`        the law without a fixed part; None likewise
    `end`          exponent between the two largest sizes, and its least and greatest as the repetitions allow; None
                   where there is one size only
    `is_constant`  whether it is as good as the same everywhere
    `is_mixed`     whether the sizes were made in different ways: then the law may tell of that
    """

    over: Direction
    held: int
    sizes: tuple[int, ...]
    first: float
    last: float
    law: Law | None
    power: Law | None
    end: tuple[float, float, float] | None
    is_constant: bool
    is_mixed: bool

    @property
    def name(self) -> str:
        """The growth in words: `"linear (n^1.05 ± 0.03)"`, `"constant"`, `"too few sizes (2)"`."""
        if self.is_constant:
            return "constant"
        return f"too few sizes ({len(self.sizes)})" if self.law is None else self.law.name


def name_of(exponent: float, error: float) -> str:
    """Return an exponent in words: `"between linear and quadratic (n^1.4 ± 0.1)"`."""
    power = f"n^{exponent:.2f} ± {error:.2f}"
    if not error <= _UNCLEAR:
        # So little is known of some that a number would only mislead.
        return f"unclear ({power})" if error <= 2 * _UNCLEAR else "unclear"
    whole = round(exponent)
    tolerance = min(max(_TOLERANCE, error), _WIDEST_TOLERANCE)
    if whole > max(_NAMES):
        return f"steeper than cubic ({power})"
    if not whole:
        # What doubles over the sizes is not constant, unless it cannot be told from that.
        tolerance = min(max(_CONSTANT_EXPONENT, error), _TOLERANCE)
    if abs(exponent - whole) <= tolerance:
        return f"{_NAMES.get(whole, 'falling')} ({power})"
    if exponent < 0:
        return f"falling ({power})"
    low, high = math.floor(exponent), math.ceil(exponent)
    if high not in _NAMES:
        return f"steeper than cubic ({power})"
    return f"between {_NAMES[low]} and {_NAMES[high]} ({power})"


def growth(line: Line) -> Growth | None:
    """Fit the growth along a line; None where it has no values. Raises `ExtraMissing`."""
    if not line.sizes:
        return None
    # Logarithms know no zero: sizes of 0 tell the fixed part only, and values of 0 nothing.
    usable = [(size, middle) for size, middle in zip(line.sizes, line.middles) if middle > 0]
    noise = _noise(line)
    power, law = _laws(usable, noise)
    middles = [middle for _size, middle in usable]
    return Growth(
        over=line.over,
        held=line.held,
        sizes=line.sizes,
        first=line.middles[0],
        last=line.middles[-1],
        law=law,
        power=power,
        end=_end(line),
        is_constant=len(usable) >= LEAST_SIZES
        and (power is None or abs(power.exponent) <= _CONSTANT_EXPONENT)
        and max(middles) <= _CONSTANT_GROWTH * min(middles),
        is_mixed=line.is_mixed,
    )


def _laws(measured: list[tuple[int, float]], noise: float) -> tuple[Law | None, Law | None]:
    """Return the law without a fixed part, and the one to be told."""
    positive = [(size, middle) for size, middle in measured if size > 0]
    power = _power(positive) if len(positive) >= LEAST_SIZES else None
    # What is there at size 0 is the fixed part: then the exponent comes from two sizes more, exactly, and how well it
    # is known only the repetitions tell.
    known = len(positive) < len(measured) and noise > 0
    fixed = None
    if len(measured) >= _LEAST_SIZES_FIXED or (len(measured) >= LEAST_SIZES and known):
        fixed = _with_fixed_part(measured)
    without = power.law(noise) if power is not None else None
    if fixed is not None and _is_worth_it(power, fixed, noise):
        return without, fixed.law(noise)
    return without, without


def slope(line: Line) -> tuple[float, float] | None:
    """Return by how much the figure grows with each one more, and the standard error of it, by a straight line.

    None with fewer than 3 sizes. Raises `ExtraMissing`.
    """
    if len(line.sizes) < LEAST_SIZES:
        return None
    found = needed("scipy.stats", _PURPOSE).linregress(line.sizes, line.middles)
    return float(found.slope), float(found.stderr)


def _end(line: Line) -> tuple[float, float, float] | None:
    known = [
        (size, figure)
        for size, figure in zip(line.sizes, line.figures)
        if size > 0 and min(figure.values) > 0
    ]
    if len(known) < 2:  # noqa: PLR2004 - an exponent is between two
        return None
    (size, before), (larger, after) = known[-2:]
    width = math.log(larger / size)
    assert before.middle is not None
    assert after.middle is not None
    return (
        math.log(after.middle / before.middle) / width,
        math.log(min(after.values) / max(before.values)) / width,
        math.log(max(after.values) / min(before.values)) / width,
    )


def _noise(line: Line) -> float:
    """Estimate the variance of log medians from what the repetitions at each size differ by; 0 without repetitions."""
    squares, degrees, shares = 0.0, 0, []
    for figure in line.figures:
        if min(figure.values) <= 0:
            continue
        logs = [math.log(value) for value in figure.values]
        mean = math.fsum(logs) / len(logs)
        squares += math.fsum((log - mean) ** 2 for log in logs)
        degrees += len(logs) - 1
        # The median of more than two varies by half as much again as the mean of them.
        shares.append((math.pi / 2 if len(logs) > 2 else 1) / len(logs))  # noqa: PLR2004
    return squares / degrees * math.fsum(shares) / len(shares) if degrees else 0.0


@attrs.frozen(kw_only=True)
class _Fit:
    """What a fit has found, with the `squares` left over and the `degrees` of freedom.

    `leverage` is the exponent's standard error for deviations of 1.
    """

    fixed: float
    factor: float
    exponent: float
    leverage: float
    squares: float
    degrees: int
    whole: float

    @property
    def variance(self) -> float:
        return self.squares / self.degrees if self.degrees else 0.0

    def law(self, noise: float) -> Law:
        """Give the law, with an error that is no smaller than `noise`, a variance, allows."""
        return Law(
            fixed=self.fixed,
            factor=self.factor,
            exponent=self.exponent,
            error=self.leverage * math.sqrt(max(self.variance, noise)),
            r2=1 - self.squares / self.whole if self.whole else 1.0,
        )


def _is_worth_it(power: _Fit | None, fixed: _Fit, noise: float) -> bool:
    """Tell whether the third parameter has to be there; the criterion is Akaike's, for a variance that is known."""
    if not fixed.degrees and fixed.squares > noise:
        return False
    if power is None:
        # There is no other; where the exponent is not known well, its error tells.
        return True
    variance = max(fixed.variance, noise)
    return fixed.law(noise).error <= _UNCLEAR and power.squares - fixed.squares > 2 * variance


def _power(measured: list[tuple[int, float]]) -> _Fit:
    stats = needed("scipy.stats", _PURPOSE)
    logs = [math.log(size) for size, _middle in measured]
    values = [math.log(middle) for _size, middle in measured]
    found = stats.linregress(logs, values)
    left = [value - found.intercept - found.slope * log for log, value in zip(logs, values)]
    return _Fit(
        fixed=0.0,
        factor=math.exp(found.intercept),
        exponent=float(found.slope),
        leverage=1 / math.sqrt(_about_mean(logs)),
        squares=math.fsum(one**2 for one in left),
        degrees=len(values) - 2,
        whole=_about_mean(values),
    )


def _about_mean(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _with_fixed_part(measured: list[tuple[int, float]]) -> _Fit | None:
    """Fit all three parameters; None where no such law comes near."""
    numpy = needed("numpy", _PURPOSE)
    optimize = needed("scipy.optimize", _PURPOSE)
    # In units of the largest size and value, all three parameters are of the same order.
    largest = float(measured[-1][0])
    top = max(middle for _size, middle in measured)
    sizes = numpy.array([size / largest for size, _middle in measured])
    values = numpy.log([middle / top for _size, middle in measured])

    def model(sizes: Any, fixed: float, factor: float, exponent: float) -> Any:
        return numpy.log(numpy.maximum(fixed + factor * sizes**exponent, 1e-12))

    best: _Fit | None = None
    for start in (0.5, 1.0, 2.0):
        with warnings.catch_warnings():
            # Where a parameter cannot be told, its error comes out infinite: that is the answer, no matter to warn of.
            warnings.simplefilter("ignore")
            try:
                found, covariance = optimize.curve_fit(
                    model,
                    sizes,
                    values,
                    p0=(math.exp(min(values)) / 2, 1.0, start),
                    bounds=((0.0, 0.0, 0.05), (2.0, 10.0, _STEEPEST)),
                    sigma=[1.0] * len(values),
                    absolute_sigma=True,
                )
            except RuntimeError:
                # No end after very many steps: from this start there is no such law.
                continue
        fixed, factor, exponent = (float(one) for one in found)
        squares = float(((values - model(sizes, *found)) ** 2).sum())
        if best is None or squares < best.squares:
            best = _Fit(
                fixed=fixed * top,
                factor=factor * top / largest**exponent,
                exponent=exponent,
                leverage=math.sqrt(covariance[2][2]) if covariance[2][2] >= 0 else math.inf,
                squares=squares,
                degrees=len(measured) - 3,
                whole=_about_mean([float(value) for value in values]),
            )
    return best
